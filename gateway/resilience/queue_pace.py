"""How fast a queue moves: the time between two requests that leave, against what they cost."""

from __future__ import annotations

from splitway.wire.deadline import Clock

_WEIGHT = 0.1
"""Of one interval in the average."""


class QueuePace:
    """A moving average of the time between two that leave while others wait, for each unit of their cost.

    It begins anew whenever nothing waits. A single long pause says no more than that nothing moved for `longest_s`: a
    process that stood still for a minute must not expect every wait to take as long.

    Args:
        longest_s: an interval counts as no more.
    """

    def __init__(self, longest_s: float, clock: Clock) -> None:
        self._longest_s = longest_s
        self._clock = clock
        self._count = 0
        self._interval_s = self._cost = 0.0
        self._left_at_s: float | None = None
        self.measured_s = 0.0
        """How much time it rests on."""

    def rest(self) -> None:
        """Nothing waits: forget."""
        if self._left_at_s is not None:
            self._count, self._interval_s, self._cost = 0, 0.0, 0.0
            self._left_at_s, self.measured_s = None, 0.0

    def left(self, cost: float) -> None:
        """A request of this cost has left, and others wait."""
        now_s = self._clock()
        if self._left_at_s is not None:
            interval_s = min(self._longest_s, now_s - self._left_at_s)
            self._count += 1
            self.measured_s += interval_s
            weight = max(_WEIGHT, 1 / self._count)
            self._interval_s += weight * (interval_s - self._interval_s)
            self._cost += weight * (cost - self._cost)
        self._left_at_s = now_s

    def expected_s(self, count: int, cost: float) -> float:
        """How long so many requests, of this cost together, will take to be let in.

        By their number or by their cost, whichever is less: of a few that left, either may say too much.
        """
        by_cost = cost / self._cost if self._cost > 0 else 0.0
        return min(count, by_cost) * self._interval_s
