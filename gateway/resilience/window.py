"""What happened lately: calls counted in buckets of time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass
class CallCounts:
    """How many calls ended, and how many of them failed or were slow."""

    calls: int = 0
    failed: int = 0
    slow: int = 0

    @property
    def failed_share(self) -> float:
        return self.failed / self.calls if self.calls else 0.0

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
        self._buckets: deque[tuple[int, CallCounts]] = deque()
        self._total = CallCounts()

    def add(self, now_s: float, *, failed: bool = False, slow: bool = False) -> None:
        """Count one call that ended now."""
        number = int(now_s // self._bucket_s)
        if not self._buckets or self._buckets[-1][0] != number:
            self._buckets.append((number, CallCounts()))
        self._buckets[-1][1].add(failed=failed, slow=slow)
        self._total.add(failed=failed, slow=slow)
        self._forget(number)

    def counts(self, now_s: float) -> CallCounts:
        """Return the sums over the window that ends now; they go on changing with it."""
        self._forget(int(now_s // self._bucket_s))
        return self._total

    def clear(self) -> None:
        self._buckets.clear()
        self._total = CallCounts()

    def _forget(self, number: int) -> None:
        while self._buckets and self._buckets[0][0] <= number - self._length:
            _, old = self._buckets.popleft()
            self._total.calls -= old.calls
            self._total.failed -= old.failed
            self._total.slow -= old.slow
