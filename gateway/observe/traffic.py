"""How much goes through now: what ended, how it ended and how long it took, in total and in the last seconds."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from splitway.telemetry.outcome import OURS
from splitway.wire.deadline import Clock

WINDOW_S = 10
_GROWTH = math.log(1.05)
"""Latencies are counted in steps of five percent."""
_SHORTEST_S = 1e-6


class Flow:
    """Everything of one kind that ends: the gateway's requests, or the calls to one stage."""

    def __init__(self, clock: Clock) -> None:
        self.totals: Counter[str] = Counter()
        """Since the start, by outcome."""
        self._clock = clock
        self._began_s = clock()
        self._seconds: deque[_Second] = deque()

    @property
    def age_s(self) -> float:
        return self._clock() - self._began_s

    def add(self, outcome: str, seconds: float) -> None:
        """Count one that has ended."""
        self.totals[outcome] += 1
        now = int(self._clock())
        if not self._seconds or self._seconds[-1].at != now:
            self._seconds.append(_Second(now))
            self._forget(now)
        self._seconds[-1].add(seconds, failed=outcome in OURS)

    def recent(self) -> dict[str, Any]:
        """The last ten whole seconds, or as many as there have been: how many ended, failed by our fault, took how
        long. Latencies are to within five percent."""
        now_s = self._clock()
        self._forget(int(now_s))
        whole = [second for second in self._seconds if second.at < int(now_s)]
        window_s = min(float(WINDOW_S), max(1.0, int(now_s) - self._began_s))
        latencies: Counter[int] = Counter()
        for second in whole:
            latencies.update(second.latencies)
        ended = sum(second.ended for second in whole)
        return {
            "window_s": round(window_s, 3),
            "ended": ended,
            "failed": sum(second.failed for second in whole),
            "rate_per_s": round(ended / window_s, 2),
            "p50_ms": _quantile_ms(latencies, 0.5),
            "p99_ms": _quantile_ms(latencies, 0.99),
        }

    def _forget(self, now: int) -> None:
        while self._seconds and self._seconds[0].at < now - WINDOW_S:
            self._seconds.popleft()


@dataclass(slots=True)
class _Second:
    """What ended within one second."""

    at: int
    ended: int = 0
    failed: int = 0
    latencies: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float, *, failed: bool) -> None:
        self.ended += 1
        self.failed += failed
        if seconds:  # else it was refused before its body was read, and says nothing of how long answers take
            self.latencies[math.ceil(math.log(max(seconds, _SHORTEST_S)) / _GROWTH)] += 1


def _quantile_ms(latencies: Counter[int], share: float) -> float | None:
    left = math.ceil(share * latencies.total())
    for step in sorted(latencies):
        left -= latencies[step]
        if left <= 0:
            return round(math.exp((step - 0.5) * _GROWTH) * 1000, 3)
    return None
