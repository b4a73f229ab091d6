"""How much of something each caller has had lately, in two numbers per caller however much it was.

A sliding window out of two fixed ones: what was counted in the last window still counts as far as the last `window_s`
seconds reach back into it. Unlike with a fixed window, no caller gets twice their share around the change of windows.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from math import floor
from typing import NamedTuple, Protocol

from splitway.wire.deadline import Clock


class Limit(NamedTuple):
    """How much of something a caller may have in a window."""

    name: str
    amount: int
    window_s: int


class Standing(NamedTuple):
    """How a caller stands after having asked for some."""

    limit: Limit
    taken: bool
    remaining: int
    reset_s: float
    """Until the window ends that this was counted in."""
    wait_s: float
    """Until asking again is worthwhile; 0 where it was given."""


class WindowCounts(NamedTuple):
    """A caller's usage in the previous and the current window, and the time left of the current one."""

    previous: int
    current: int
    left_s: float

    def weighted(self, window_s: int) -> float:
        return self.previous * self.left_s / window_s + self.current

    def wait_s(self, amount: int, limit: Limit) -> float:
        """Seconds until this amount fits, if nothing is taken meanwhile. More than the limit never fits."""
        free, window_s = limit.amount - amount, limit.window_s
        if self.weighted(window_s) <= free:
            return 0.0
        if self.current <= free:  # the previous window must fade
            return self.left_s - (free - self.current) * window_s / self.previous
        return self.left_s + window_s * (1 - max(0, free) / max(1, self.current))

    def standing(self, limit: Limit, amount: int, *, taken: bool) -> Standing:
        remaining = max(0, floor(limit.amount - self.weighted(limit.window_s)))
        return Standing(limit, taken, remaining, self.left_s, 0.0 if taken else self.wait_s(amount, limit))


class Windows(Protocol):
    """Where it is counted."""

    async def take(self, caller: str, limit: Limit, amount: int) -> Standing:
        """Take so much, or nothing if there is less. Never fails."""

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(slots=True)
class _Window:
    began_s: float
    previous: int = 0
    current: int = 0

    def move_to(self, now_s: float, window_s: int) -> None:
        passed = int((now_s - self.began_s) / window_s)
        if passed:
            self.previous, self.current = self.current if passed == 1 else 0, 0
            self.began_s += passed * window_s


class MemoryWindows:
    """Counts in this process. Beyond so many callers, those who have not been seen for longest are forgotten."""

    def __init__(self, clock: Clock, max_callers: int = 50_000) -> None:
        self._clock = clock
        self._max_callers = max_callers
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    async def take(self, caller: str, limit: Limit, amount: int) -> Standing:
        now_s, key = self._clock(), (limit.name, caller)
        self._windows[key] = window = self._windows.pop(key, None) or _Window(now_s)
        if len(self._windows) > self._max_callers:
            self._windows.popitem(last=False)
        window.move_to(now_s, limit.window_s)
        left_s = limit.window_s - (now_s - window.began_s)  # in this order never more than a window, by rounding either
        counts = WindowCounts(window.previous, window.current, left_s)
        taken = counts.weighted(limit.window_s) + amount <= limit.amount
        if taken:
            window.current += amount
            counts = WindowCounts(window.previous, window.current, left_s)
        return counts.standing(limit, amount, taken=taken)

    async def close(self) -> None:
        self._windows.clear()
