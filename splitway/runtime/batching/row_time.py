"""Estimated time per row, used to refuse work that cannot finish in time.

Two errors, two corrections. An estimate that is too low lets requests wait that will be late; each measurement above it
raises it. One that is too high keeps out the very rows that would show it: so it falls faster than it rises, one stall
cannot raise it by much, and what nothing confirms is forgotten by time.
"""

from __future__ import annotations

_RISES_BY, _FALLS_BY = 0.1, 0.3
"""Weight of one measurement."""
_MOST_TIMES_SLOWER = 8.0
"""Upper bound of one measurement, as a multiple of the estimate."""
_FADES_S = 10.0
"""Time in which half of what is known is forgotten."""


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
