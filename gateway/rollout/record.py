"""How a release has done lately, and whether that is too bad to go on with it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from splitway.gateway.resilience.window import TimeWindow

_BUCKETS = 10
_DRIFTS = 1000
"""Comparisons of which the drift is kept."""


@dataclass(frozen=True)
class RollbackPolicy:
    """When a canary or shadow ends by itself."""

    window_s: float = 300.0
    min_requests: int = 20
    """Requests, or comparisons, without which nothing is decided."""
    error_share: float = 0.1
    """How much larger its share of errors may be than the current release's."""
    disagreement: float = 0.3
    """Share of comparisons that may end with another first class."""


class ReleaseRecord:
    """What became of one release's requests, over a moving window.

    Args:
        window_s: the window's length; times are given, never asked for.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.outcomes = TimeWindow(window_s / _BUCKETS, _BUCKETS)
        self.comparisons = TimeWindow(window_s / _BUCKETS, _BUCKETS)
        """Those with another first class failed."""
        self._drifts: deque[tuple[float, float]] = deque(maxlen=_DRIFTS)

    def ended(self, now_s: float, *, failed: bool) -> None:
        """Count one request."""
        self.outcomes.add(now_s, failed=failed)

    def compared(self, now_s: float, *, agreed: bool, drift: float) -> None:
        """Count one comparison with the other release: was the first class the same, how far apart the confidences."""
        self.comparisons.add(now_s, failed=not agreed)
        self._drifts.append((now_s, drift))

    def agreement(self, now_s: float) -> float | None:
        """Share of comparisons with the same first class; None before the first."""
        compared = self.comparisons.counts(now_s)
        return 1 - compared.failed_share if compared.calls else None

    def drift(self, now_s: float) -> float | None:
        """Mean absolute difference of the first class's confidence; None before the first comparison."""
        while self._drifts and self._drifts[0][0] <= now_s - self._window_s:
            self._drifts.popleft()
        return sum(drift for _, drift in self._drifts) / len(self._drifts) if self._drifts else None

    def describe(self, now_s: float) -> dict[str, Any]:
        """As `/v1/pipeline` shows it."""
        agreement, drift = self.agreement(now_s), self.drift(now_s)
        return {
            "requests": self.outcomes.counts(now_s).calls,
            "error_share": round(self.outcomes.counts(now_s).failed_share, 4),
            "compared": self.comparisons.counts(now_s).calls,
            "agreement": None if agreement is None else round(agreement, 4),
            "drift": None if drift is None else round(drift, 6),
        }


def too_bad(trial: ReleaseRecord, current: ReleaseRecord, policy: RollbackPolicy, now_s: float) -> str | None:
    """Return in words why a release on trial is to be withdrawn, or None."""
    ended, usual = trial.outcomes.counts(now_s), current.outcomes.counts(now_s).failed_share
    if ended.calls >= policy.min_requests and ended.failed_share > usual + policy.error_share:
        return (
            f"{ended.failed_share:.0%} of its {ended.calls} requests failed, "
            f"of the current release's {usual:.0%}; at most {policy.error_share:.0%} more is tolerated"
        )
    compared = trial.comparisons.counts(now_s)
    if compared.calls >= policy.min_requests and compared.failed_share > policy.disagreement:
        return (
            f"its first class differed in {compared.failed_share:.0%} of {compared.calls} comparisons "
            f"with the current release; at most {policy.disagreement:.0%} is tolerated"
        )
    return None
