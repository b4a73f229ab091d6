"""Ends a process whose event loop no longer turns, so that whatever supervises it starts it again.

A loop that one call keeps for ever answers no probe and handles no signal. A thread asks it twice a second for a sign
of life.
"""

from __future__ import annotations

import asyncio
import threading
import time

from splitway.http.lifecycle import Lifecycle
from splitway.http.pauses import Lookout
from splitway.telemetry.stack import stack_of
from splitway.wire.deadline import Clock

_CALLS_TOLD = 12


class Heartbeat(Lookout):
    """Looks whether the running event loop turns: one call may keep it for `limit_s`."""

    def __init__(self, limit_s: float, lifecycle: Lifecycle, clock: Clock = time.monotonic) -> None:
        super().__init__(limit_s, lifecycle, clock)
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._asked_at_s: float | None = None

    def hangs(self) -> str | None:
        """Ask the loop for a sign of life where none is awaited; say where it hangs if it has given none for too long.

        To be called every half second, in any thread.
        """
        asked_at_s = self._asked_at_s
        if asked_at_s is None:
            self._asked_at_s = self._clock()
            try:
                self._loop.call_soon_threadsafe(self._beat)
            except RuntimeError:  # it has been closed
                self.stop()
            return None
        silent_s = self._worked_s(asked_at_s)
        if silent_s <= self._limit_s:
            return None
        where = stack_of(self._loop_thread, _CALLS_TOLD)
        return f"the event loop hangs: for {silent_s:.0f} s it has been in {where}, and {self._limit_s:g} s are allowed"

    def _beat(self) -> None:
        self._asked_at_s = None
