"""What earlier runs say of later ones: how long a row takes, and whose rows the model fails on.

The time of a row serves to refuse work that cannot finish in time. Two errors, two corrections. An estimate that is too
low lets requests wait that will be late; each measurement above it raises it. One that is too high keeps out the very
rows that would show it: so it falls faster than it rises, one stall cannot raise it by much, and what nothing confirms
is forgotten by time.

Rows of callers on which the model keeps failing are run apart for a while. Each failure is a strike; strikes fade by
time, so that a caller whose requests the model can answer shares again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from splitway.wire.deadline import Clock

_RISES_BY, _FALLS_BY = 0.1, 0.3
"""Weight of one measurement."""
_MOST_TIMES_SLOWER = 8.0
"""Upper bound of one measurement, as a multiple of the estimate."""
_FADES_S = 10.0
"""Time in which half of what is known of a row is forgotten."""
_APART_FROM = 3.0
"""With so many strikes, a caller is run apart."""
_MOST_STRIKES = 8.0
"""However many more there are, it takes no longer than from these until a caller shares again."""
_STRIKES_FADE_S = 20.0
"""Time in which half of the strikes are forgotten."""


def still_holds(age_s: float) -> float:
    """How much of an estimate is left, from 1 down, so many seconds after the last measurement."""
    return float(0.5 ** (age_s / _FADES_S))


def corrected(estimate_s: float, measured_s: float, age_s: float) -> float:
    """Return the new estimate of a row's seconds.

    Args:
        estimate_s: the one before; 0 for none.
        measured_s: seconds of a row, just now.
        age_s: seconds since the measurement before; the more, the less the estimate counts.
    """
    if not estimate_s:
        return measured_s
    weight = _RISES_BY if measured_s > estimate_s else _FALLS_BY
    weight = 1.0 - (1.0 - weight) * still_holds(age_s)
    return estimate_s + weight * (min(measured_s, _MOST_TIMES_SLOWER * estimate_s) - estimate_s)


@dataclass
class Sharing:
    """Counts strikes by caller."""

    clock: Clock
    callers: int = 1024
    """How many are remembered; those that failed last."""
    _strikes: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    """Strikes, and when they were counted."""

    def may_share(self, caller: str) -> bool:
        """Whether this caller's rows may be run with those of others."""
        return caller not in self._strikes or self._now(caller) < _APART_FROM

    def failed(self, caller: str) -> None:
        """The model failed on a row of this caller."""
        self._strikes[caller] = min(_MOST_STRIKES, self._now(caller) + 1.0), self.clock()
        self._strikes.move_to_end(caller)
        if len(self._strikes) > self.callers:
            self._strikes.popitem(last=False)

    @property
    def apart(self) -> int:
        """How many callers are run apart now."""
        return sum(not self.may_share(caller) for caller in self._strikes)

    def _now(self, caller: str) -> float:
        strikes, at_s = self._strikes.get(caller, (0.0, 0.0))
        return float(strikes * 0.5 ** ((self.clock() - at_s) / _STRIKES_FADE_S))
