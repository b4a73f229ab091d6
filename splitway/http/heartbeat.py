"""Ends a process that hangs, so that whatever supervises it starts it again.

A loop that one call keeps for ever answers no probe and handles no signal. A thread asks it twice a second for a sign
of life. Time in which the process stood still, in a container that was paused, on a machine that slept, does not count:
the thread looks at the clock again and again, and where it was kept from it for long, all of the process was.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque

from splitway.http.lifecycle import Lifecycle
from splitway.telemetry.slow_loop import stack_of
from splitway.wire.deadline import Clock

_log = logging.getLogger(__name__)
LOOKS_EVERY_S = 0.5
_STOOD_STILL_S = 2.0
"""So much later than due is a pause; less may be a machine that is full."""
_MOST_KEPT = 64
_CALLS_TOLD = 12


class Pauses:
    """Remembers when this process stood still, the latest times."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at_s: float | None = None
        self._kept: deque[tuple[float, float]] = deque(maxlen=_MOST_KEPT)

    def look(self) -> None:
        """Note that the process runs. To be called every half second, and from any thread."""
        with self._lock:
            now_s = self._clock()
            before_s, self._looked_at_s = self._looked_at_s, now_s
            if before_s is not None and now_s - before_s > LOOKS_EVERY_S + _STOOD_STILL_S:
                self._kept.append((before_s, now_s - LOOKS_EVERY_S))

    def forget(self) -> None:
        """Stop measuring: the time until the next look is no pause."""
        with self._lock:
            self._looked_at_s = None

    def within(self, began_s: float, ended_s: float) -> float:
        """Seconds of this span in which the process stood still."""
        looked_at_s = self._looked_at_s
        if looked_at_s is not None and ended_s - looked_at_s > LOOKS_EVERY_S + _STOOD_STILL_S:
            self.look()  # it has just gone on, and the thread that looks has not yet had its turn
        if not self._kept:
            return 0.0
        return sum(max(0.0, min(end, ended_s) - max(begin, began_s)) for begin, end in tuple(self._kept))


class Lookout:
    """Asks twice a second, in a thread of its own, whether the process hangs, and ends it where it does.

    Args:
        limit_s: the longest time that one thing may take; 0 for any.
        lifecycle: ends the process.
        clock: monotonic seconds.
    """

    def __init__(self, limit_s: float, lifecycle: Lifecycle, clock: Clock = time.monotonic) -> None:
        self.pauses = Pauses(clock)
        self._limit_s = limit_s
        self._lifecycle = lifecycle
        self._clock = clock
        self._stopped = threading.Event()

    def start(self) -> None:
        self.pauses.look()
        threading.Thread(target=self._run, name=type(self).__name__.lower(), daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def look(self) -> str | None:
        """Say what hangs; None where nothing does. To be called every half second, in any thread."""
        self.pauses.look()
        return self.hangs()

    def hangs(self) -> str | None:
        """The same, of what is known by now."""
        raise NotImplementedError

    def _worked_s(self, began_s: float) -> float:
        """Seconds since then, but for those in which the process stood still."""
        now_s = self._clock()
        return now_s - began_s - self.pauses.within(began_s, now_s)

    def _run(self) -> None:
        reason: str | None = None
        while reason is None:
            if self._stopped.wait(LOOKS_EVERY_S):
                return
            reason = self.look()
        _log.error("%s (SPLITWAY_MAX_RUN_S); the process ends", reason)
        self._end(reason)

    def _end(self, _reason: str) -> None:
        self._lifecycle.last_resort()


class Heartbeat(Lookout):
    """Looks whether the running event loop turns: one call may keep it for `limit_s`."""

    def __init__(self, limit_s: float, lifecycle: Lifecycle, clock: Clock = time.monotonic) -> None:
        super().__init__(limit_s, lifecycle, clock)
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._asked_at_s: float | None = None

    def hangs(self) -> str | None:
        """Ask the loop for a sign of life where none is awaited; say where it hangs if it gives none for too long."""
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
