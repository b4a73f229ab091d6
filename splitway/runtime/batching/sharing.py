"""Sharing of batches: rows of callers on which the model keeps failing are run apart for a while.

Each failure is a strike; strikes fade by time, so that a caller whose requests the model can answer shares again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from splitway.wire.deadline import Clock


@dataclass(frozen=True)
class SharingPolicy:
    """How many failures are too many."""

    strikes: float = 3.0
    """With so many, a caller is run apart."""
    most_strikes: float = 8.0
    """However many more there are, it takes no longer than from these until a caller shares again."""
    half_life_s: float = 20.0
    """Time in which half of the strikes are forgotten."""
    callers: int = 1024
    """How many are remembered; those that failed last."""


class Sharing:
    """Counts strikes by caller.

    Args:
        clock: monotonic seconds.
        policy: when a caller is run apart.
    """

    def __init__(self, clock: Clock, policy: SharingPolicy | None = None) -> None:
        self._clock = clock
        self._policy = policy or SharingPolicy()
        self._strikes: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Strikes, and when they were counted."""

    def may_share(self, caller: str) -> bool:
        """Whether this caller's rows may be run with those of others."""
        return caller not in self._strikes or self._now(caller) < self._policy.strikes

    def failed(self, caller: str) -> None:
        """The model failed on a row of this caller."""
        strikes = min(self._policy.most_strikes, self._now(caller) + 1.0)
        self._strikes[caller] = strikes, self._clock()
        self._strikes.move_to_end(caller)
        if len(self._strikes) > self._policy.callers:
            self._strikes.popitem(last=False)

    @property
    def apart(self) -> int:
        """How many callers are run apart now."""
        return sum(not self.may_share(caller) for caller in self._strikes)

    def _now(self, caller: str) -> float:
        strikes, at_s = self._strikes.get(caller, (0.0, 0.0))
        return float(strikes * 0.5 ** ((self._clock() - at_s) / self._policy.half_life_s))
