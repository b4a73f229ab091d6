"""How much work may be in flight: additive increase, multiplicative decrease, after D. Chiu and R. Jain (1989).

The signal is the bottleneck stage's own account: how long a request waited there against how long it was worked on.
A limit that follows measured latency alone drifts upwards under steady overload; this one cannot, because waiting that
the limit lets in is waiting that it sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from splitway.wire.deadline import Clock


@dataclass(frozen=True)
class LimitPolicy:
    """How the limit moves."""

    initial: int = 16
    lowest: int = 4
    highest: int = 512
    window_s: float = 0.1
    stale_s: float = 1.0
    """A window that is ended so long after its time changes nothing."""
    tolerated_wait: float = 3.0
    """How many times its work's time a request may wait before that is too long."""
    tolerated_wait_floor_s: float = 0.02
    step_up: float = 1.0
    shrink: float = 0.9
    shrink_on_refusal: float = 0.7


class AdaptiveLimit:
    """The number of requests that may be in flight at once."""

    def __init__(self, policy: LimitPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._limit = float(min(policy.initial, policy.highest))
        self._begin_window(clock())

    def _begin_window(self, now_s: float) -> None:
        self._window_ends_s = now_s + self._policy.window_s
        self._shortest_excess_s, self._longest_excess_s = math.inf, -math.inf
        self._was_full = self._was_refused = self._was_held_back = False

    @property
    def limit(self) -> int:
        return int(self._limit)

    def observe(self, *, waited_s: float, worked_s: float, in_flight: int) -> None:
        """Learn from one answer."""
        tolerated_s = max(self._policy.tolerated_wait_floor_s, self._policy.tolerated_wait * worked_s)
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
        policy = self._policy
        if now_s - self._window_ends_s > policy.stale_s:
            pass  # what was seen before a pause says nothing of now, and what comes first after it is of the pause
        elif self._was_refused:
            self._limit *= policy.shrink_on_refusal
        elif 0 < self._shortest_excess_s < math.inf:
            self._limit *= policy.shrink
        elif self._was_full or (self._was_held_back and -math.inf < self._longest_excess_s <= 0):
            self._limit += policy.step_up
        self._limit = min(float(policy.highest), max(float(policy.lowest), self._limit))
        self._begin_window(now_s)
