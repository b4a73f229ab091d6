"""How much work may be in flight: additive increase, multiplicative decrease, after D. Chiu and R. Jain (1989).

The signal is the bottleneck stage's own account: how long a request waited there against how long it was worked on.
A limit that follows measured latency alone drifts upwards under steady overload; this one cannot, because waiting that
the limit lets in is waiting that it sees.
"""

from __future__ import annotations

import math

from splitway.wire.deadline import Clock

INITIAL = 16
LOWEST = 4
WINDOW_S = 0.1
_STALE_S = 1.0
"""A window that is ended so long after its time changes nothing."""
_TOLERATED_WAIT = 3.0
"""How many times its work's time a request may wait before that is too long."""
_TOLERATED_WAIT_FLOOR_S = 0.02
_STEP_UP = 1.0
_SHRINK = 0.9
_SHRINK_ON_REFUSAL = 0.7


class AdaptiveLimit:
    """The number of requests that may be in flight at once."""

    def __init__(self, clock: Clock, highest: int = 512) -> None:
        self._clock = clock
        self._highest = highest
        self._limit = float(min(INITIAL, highest))
        self._begin_window(clock())

    def _begin_window(self, now_s: float) -> None:
        self._window_ends_s = now_s + WINDOW_S
        self._shortest_excess_s, self._longest_excess_s = math.inf, -math.inf
        self._was_full = self._was_refused = self._was_held_back = False

    @property
    def limit(self) -> int:
        return int(self._limit)

    def observe(self, *, waited_s: float, worked_s: float, in_flight: int) -> None:
        """Learn from one answer."""
        tolerated_s = max(_TOLERATED_WAIT_FLOOR_S, _TOLERATED_WAIT * worked_s)
        excess_s = waited_s - tolerated_s
        self._shortest_excess_s = min(self._shortest_excess_s, excess_s)
        self._longest_excess_s = max(self._longest_excess_s, excess_s)
        self._was_full |= in_flight >= self.limit
        self._end_window()

    def refused(self) -> None:
        """Learn that the stage itself shed a request or ran out of time."""
        self._was_refused = True
        self._end_window()

    def held_back(self) -> None:
        """Learn that requests waited for the sake of other callers while there were places.

        If even those that were answered meanwhile did not wait too long, the bottleneck bears more.
        """
        self._was_held_back = True

    def _end_window(self) -> None:
        now_s = self._clock()
        if now_s < self._window_ends_s:
            return
        if now_s - self._window_ends_s > _STALE_S:
            pass  # what was seen before a pause says nothing of now, and what comes first after it is of the pause
        elif self._was_refused:
            self._limit *= _SHRINK_ON_REFUSAL
        elif 0 < self._shortest_excess_s < math.inf:
            self._limit *= _SHRINK
        elif self._was_full or (self._was_held_back and -math.inf < self._longest_excess_s <= 0):
            self._limit += _STEP_UP
        self._limit = min(float(self._highest), max(float(LOWEST), self._limit))
        self._begin_window(now_s)
