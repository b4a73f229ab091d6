"""How long the event loop has kept timers and replies waiting, so that its own delay is not taken for another's."""

from __future__ import annotations

import asyncio

_EVERY_S = 0.05
_ON_TIME_S = 0.01
"""A timer that fires no later than this was on time."""


class LoopLateness:
    """Adds up by how much a timer that should fire twenty times a second fires late."""

    def __init__(self) -> None:
        self._late_s = 0.0
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        self._again(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def total_s(self) -> float:
        """Seconds by which the loop has been late since the start, a delay that still goes on included."""
        if self._timer is None:
            return self._late_s
        return self._late_s + _late(asyncio.get_running_loop().time() - self._due_s)

    def _fired(self, loop: asyncio.AbstractEventLoop) -> None:
        self._late_s += _late(loop.time() - self._due_s)
        self._again(loop)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = loop.time() + _EVERY_S
        self._timer = loop.call_at(self._due_s, self._fired, loop)


def _late(seconds: float) -> float:
    return seconds if seconds > _ON_TIME_S else 0.0
