"""Ends a process that can no longer answer, so that whatever supervises it starts it again.

An engine that hangs keeps its thread for ever, while the event loop goes on answering probes. What tells it from a slow
one is the time of a single run: not how many wait for it, not the time in which the whole process stood still, and not
how many rows one request has: a run of many may take twice what they have taken before, beyond the time of any run.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from splitway.http.heartbeat import LOOKS_EVERY_S, Pauses
from splitway.http.lifecycle import Lifecycle
from splitway.runtime.batching.runs import Runs
from splitway.wire.deadline import Clock

_log = logging.getLogger(__name__)


class WatchedModel(Protocol):
    """A model that is served."""

    label: str
    """Its name and version."""

    @property
    def died(self) -> bool:
        """Whether the loop that answers has ended of itself."""

    async def close(self) -> None:
        """Tell all that still wait that there will be no answer."""


class Watchdog:
    """Looks at what a process runs, in a thread of its own.

    Args:
        limit_s: the longest time that one run may take; 0 for any.
        lifecycle: told of a process that hangs.
        clock: monotonic seconds.
        ends_within_s: how long a process that hangs may take to end in order; its event loop may hang as well.
    """

    def __init__(
        self, limit_s: float, lifecycle: Lifecycle, clock: Clock = time.monotonic, ends_within_s: float = 15.0
    ) -> None:
        self.runs = Runs(clock)
        self.pauses = Pauses(clock)
        self._limit_s = limit_s
        self._lifecycle = lifecycle
        self._clock = clock
        self._ends_within_s = ends_within_s
        self._stopped = threading.Event()
        self._closing: set[asyncio.Future[None]] = set()

    def start(self, models: Callable[[], Iterable[WatchedModel]]) -> None:
        """Begin to look. To be called on the event loop.

        Args:
            models: those that are served now.
        """
        self.pauses.look()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(models, loop), name="watchdog", daemon=True).start()

    def stop(self, *, loading: bool = False) -> None:
        """End it, when all that can be stopped has been.

        Args:
            loading: whether a model is still being loaded, which cannot be stopped.
        """
        self._stopped.set()
        self.pauses.forget()
        left = [run.model for run in self.runs.under_way]
        if left or loading:
            self._lifecycle.is_stuck = True
            _log.error("%s could not be stopped and is given up", ", ".join(left) or "a model that is being loaded")

    def trouble(self, models: Iterable[WatchedModel]) -> str | None:
        """Say what can no longer answer, and why; None if all can."""
        now_s = self._clock()
        for model, began_s, more_s in self.runs.under_way:
            ran_s = now_s - began_s - self.pauses.within(began_s, now_s)
            if 0 < self._limit_s < ran_s - more_s:
                allowed_s = self._limit_s + more_s
                return f"{model} hangs: one run has taken {ran_s:.0f} s, and {allowed_s:g} s are allowed"
        return next((f"{each.label} hangs: its batch loop has died" for each in models if each.died), None)

    def _run(self, models: Callable[[], Iterable[WatchedModel]], loop: asyncio.AbstractEventLoop) -> None:
        reason: str | None = None
        while reason is None:
            if self._stopped.wait(LOOKS_EVERY_S):
                return
            self.pauses.look()
            reason = self.trouble(models())
        _log.error("%s (SPLITWAY_MAX_RUN_S); the process ends", reason)
        self._lifecycle.hang = reason
        loop.call_soon_threadsafe(self._close, [each for each in models() if reason.startswith(f"{each.label} ")])
        if not self._stopped.wait(self._ends_within_s):
            self._lifecycle.last_resort()

    def _close(self, models: Iterable[WatchedModel]) -> None:
        """Answer those who wait for what will not answer."""
        for model in models:
            task = asyncio.ensure_future(model.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
