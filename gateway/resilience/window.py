"""What happened lately: calls counted in buckets of time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass
class Counts:
    """How many calls ended, and how many of them failed or were slow."""

    calls: int = 0
    failed: int = 0
    slow: int = 0

    def add(self, *, failed: bool, slow: bool) -> None:
        self.calls += 1
        self.failed += failed
        self.slow += slow


class TimeWindow:
    """Counts over the last `buckets` buckets of `bucket_s` seconds each, the current one included.

    Times are given, never asked for, and must not run backwards.
    """

    def __init__(self, bucket_s: float, buckets: int) -> None:
        self._bucket_s = bucket_s
        self._length = buckets
        self._buckets: deque[tuple[int, Counts]] = deque()

    def add(self, now_s: float, *, failed: bool = False, slow: bool = False) -> None:
        """Count one call that ended now."""
        number = int(now_s // self._bucket_s)
        if not self._buckets or self._buckets[-1][0] != number:
            self._buckets.append((number, Counts()))
        self._buckets[-1][1].add(failed=failed, slow=slow)
        self._forget(number)

    def counts(self, now_s: float) -> Counts:
        """Return the sums over the window that ends now."""
        self._forget(int(now_s // self._bucket_s))
        total = Counts()
        for _, counts in self._buckets:
            total.calls += counts.calls
            total.failed += counts.failed
            total.slow += counts.slow
        return total

    def clear(self) -> None:
        self._buckets.clear()

    def _forget(self, number: int) -> None:
        while self._buckets and self._buckets[0][0] <= number - self._length:
            self._buckets.popleft()
