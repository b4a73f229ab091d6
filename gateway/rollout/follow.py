"""Follows the releases file in the background."""

from __future__ import annotations

import asyncio
import logging

from splitway.gateway.rollout.rollout import Rollout

_log = logging.getLogger(__name__)


class Follower:
    """Polls one at a time, so that a slow disk, or a lock held by another process, delays nothing else.

    Args:
        rollout: what follows the file.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Begin a poll unless one is under way; the first one is waited for."""
        if self._task is None:
            self._task = self._begin()
            await self._task
        elif self._task.done():
            self._task = self._begin()

    def _begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._poll(), name="releases file")

    async def _poll(self) -> None:
        try:
            await self._rollout.poll()
        except Exception:  # whatever it was, the next poll may go better
            _log.exception("following the releases file")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
