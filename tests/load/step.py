"""One step of a load test: what was offered and what came of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from testkit.chaos.history import quantile

Arrivals = Literal["closed", "open"]


@dataclass(frozen=True)
class Step:
    """Some seconds of one load; the latencies are of right answers."""

    arrivals: Arrivals
    load: float
    """Users, or requests a second."""
    rate_answered: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests: int
    failures: int
    told: str = ""
    """What the most frequent failure was."""
    late_ms: float = 0.0
    """How late the sender itself was, in 99 % of requests at most; of open arrivals."""

    @classmethod
    def of(
        cls,
        arrivals: Arrivals,
        load: float,
        seconds: float,
        times_ms: Sequence[float],
        faults: Sequence[str],
        late_ms: float = 0.0,
    ) -> Step:
        """Sum up the right answers' times and the failures of so many seconds."""
        p50, p95, p99 = (quantile(times_ms, share) if times_ms else math.inf for share in (0.5, 0.95, 0.99))
        told = Counter(faults).most_common(1)[0][0] if faults else ""
        count = len(times_ms) + len(faults)
        return cls(arrivals, load, len(times_ms) / seconds, p50, p95, p99, count, len(faults), told, late_ms)

    @property
    def name(self) -> str:
        """The load in words."""
        if self.arrivals == "open":
            return f"{self.load:.1f}/s"
        return f"{self.load:.0f} user{'s' if self.load != 1 else ''}"

    def keeps(self, mark_ms: float) -> bool:
        """Whether nothing failed and p99 is within the mark."""
        return self.requests > 0 and self.failures == 0 and self.p99_ms <= mark_ms
