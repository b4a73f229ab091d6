"""How many retries a stage can bear: retries are paid for by first attempts.

After Finagle's RetryBudget: each first attempt earns a part of a token, a retry costs one, and a small income over time
lets a stage with little traffic retry at all. In a total outage the calls that reach a stage stay near (1 + `per_call`)
times the requests.
"""

from __future__ import annotations

from splitway.wire.deadline import Clock

_PER_SECOND = 1.0
LEAST_CAP = 10.0
"""Tokens that a budget can hold at least, and begins with."""


class RetryBudget:
    """Tokens for one stage's retries."""

    def __init__(self, clock: Clock, *, per_call: float = 0.1, cap: float = LEAST_CAP) -> None:
        self._clock = clock
        self._per_call = per_call
        self._least_cap = self._cap = self._tokens = cap
        self._at_s = clock()

    @property
    def tokens(self) -> float:
        """Tokens there are now."""
        return self._earned(self._clock())

    def raise_cap(self, in_flight: int) -> None:
        """Let the budget hold a second chance for every call that one replica has in flight."""
        self._earn(0.0)
        self._cap = max(self._least_cap, float(in_flight))

    def first_attempt(self) -> None:
        """Earn for one request."""
        self._earn(self._per_call)

    def spend(self) -> bool:
        """Take a token for a retry; False if there is none."""
        self._earn(0.0)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def give_back(self) -> None:
        """Return a token: what was repeated failed by the caller's own doing."""
        self._earn(1.0)

    def _earn(self, extra: float) -> None:
        now_s = self._clock()
        self._tokens = min(self._cap, self._earned(now_s) + extra)
        self._at_s = now_s

    def _earned(self, now_s: float) -> float:
        return min(self._cap, self._tokens + (now_s - self._at_s) * _PER_SECOND)
