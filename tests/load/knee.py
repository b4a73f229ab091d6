"""The search for the knee: the highest rate that a service bears."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.load.step import Step

_GROWTH = 1.5
_CLOSE_ENOUGH = 1.06
LEAST_REQUESTS = 5
"""Of one step; fewer say nothing of a service."""


@dataclass(frozen=True)
class Knee:
    """The fastest step that kept the mark and the slowest that did not."""

    kept: Step | None
    missed: Step | None

    def sentence(self, service: str, mark_ms: float) -> str:
        """Say where the knee is and how it was seen."""
        mark = f"the mark of {mark_ms:g} ms"
        if self.kept is None:
            assert self.missed is not None
            why = _why(self.missed)
            return f"No knee of the {service}: even {self.missed.load:.1f} requests a second missed {mark} ({why})."
        kept = f"{self.kept.load:.1f} requests a second, with p99 {self.kept.p99_ms:.1f} ms and no failure"
        if self.missed is None:
            return f"The knee of the {service} was not reached: {kept}, kept {mark}, and no more was tried."
        beyond = f"{self.missed.load:.1f} missed it twice ({_why(self.missed)})"
        return f"The knee of the {service} is at {kept}: the highest rate that kept {mark}; {beyond}."


def _why(step: Step) -> str:
    if step.failures:
        return f"{step.failures} of {step.requests} failed: {step.told}"
    sender = ", most of it the sender's own delay" if step.late_ms > step.p99_ms / 2 else ""
    return f"p99 {step.p99_ms:.1f} ms{sender}"


def find_knee(
    measure: Callable[[float], Step], *, start: float, mark_ms: float, seconds: float, most: float = math.inf
) -> Knee:
    """Climb in steps of half as much again until a rate misses, then halve what is between.

    A rate has missed when it did so twice: one hiccup of the machine is no knee.
    """
    knee = Knee(None, None)
    least = LEAST_REQUESTS / seconds
    rate = min(max(start, least), most)
    while True:
        step = measure(rate)
        if not step.keeps(mark_ms):
            step = measure(rate)
        knee = Knee(step, knee.missed) if step.keeps(mark_ms) else Knee(knee.kept, step)
        following = _next_rate(knee, least, most)
        if following is None:
            return knee
        rate = following


def _next_rate(knee: Knee, least: float, most: float) -> float | None:
    """The rate to try now; None when the knee is known well enough, or no less or no more may be offered."""
    if knee.missed is None:
        assert knee.kept is not None
        return min(knee.kept.load * _GROWTH, most) if knee.kept.load < most else None
    if knee.kept is None:
        return knee.missed.load / 2 if knee.missed.load / 2 >= least else None
    near = knee.missed.load / knee.kept.load <= _CLOSE_ENOUGH
    return None if near else math.sqrt(knee.kept.load * knee.missed.load)
