"""Whether this process hangs, and when it stood still: in a container that was paused, on a machine that slept.

Such time does not count as work. A thread looks at the clock again and again. Where it was kept from it for long, all
of the process was.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from splitway.http.lifecycle import Lifecycle
from splitway.wire.deadline import Clock

_log = logging.getLogger(__name__)
LOOKS_EVERY_S = 0.5
_STOOD_STILL_S = 2.0
"""So much later than due is a pause; less may be a machine that is full."""
_MOST_KEPT = 64


class Pauses:
    """Remembers the latest pauses.

    Args:
        clock: monotonic seconds.
    """

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
        """Begin to look."""
        self.pauses.look()
        threading.Thread(target=self._run, name=type(self).__name__.lower(), daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def hangs(self) -> str | None:
        """Say what hangs; None where nothing does."""
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
            self.pauses.look()
            reason = self.hangs()
        _log.error("%s (SPLITWAY_MAX_RUN_S); the process ends", reason)
        self._end(reason)

    def _end(self, _reason: str) -> None:
        self._lifecycle.last_resort()
