"""One replica of a stage: what is known of it by its own word, by probes and by calls, and how heavily it weighs.

Latency is a peak-sensitive moving average as in Finagle: a slower answer counts at once, a faster one little by little.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum

from splitway.gateway.fleet.inventory import Offer, ServedModel
from splitway.gateway.resilience.breaker import CircuitBreaker
from splitway.wire.deadline import Clock

_LATENCY_DECAY_S = 5.0
"""Time in which two thirds of an old latency are forgotten."""
_EASE_IN_S = 5.0
"""Time in which a replica that has become ready takes on its full share."""
_EASE_IN_PENALTY = 4.0
"""How many times heavier a replica weighs when it has just become ready."""
_FAILURE_PENALTY = 30.0
"""How many times heavier a replica weighs that fails every call; half of that if it fails every other."""
_FAILURE_WEIGHT = 0.2
"""How much one call's end counts in the share of failures."""
_MOST_EXCUSED = 5
"""Missed probes in a row that are put down to this process's own delay; those after them count."""


class ReplicaState(StrEnum):
    """What probes know of a replica."""

    UNKNOWN = "unknown"
    READY = "ready"
    NOT_READY = "not_ready"
    UNREACHABLE = "unreachable"


class Replica:
    """One running process of a stage.

    Args:
        url: where it is.
        number: from 1, in the order in which the stage's replicas were found; callers are told this, not where it is.
        breaker: what keeps calls from it.
        unreachable_after: probes and calls in a row that must miss it, if it is ready, before it counts as unreachable.
        on_change: told when it begins or ceases to be ready, or to serve a model.
    """

    def __init__(
        self,
        url: str,
        number: int,
        breaker: CircuitBreaker,
        unreachable_after: int,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self.url = url
        self.number = number
        self.breaker = breaker
        self.state = ReplicaState.UNKNOWN
        self.reason = "has not been probed yet"
        """Why it is not ready, with addresses and in its own words: for the operators."""
        self.models: Mapping[Offer, ServedModel] = {}
        """What it can be asked for, as it said last."""
        self.misses = 0
        """Probes and calls in a row that did not get through."""
        self.missed_in_all = 0
        """Probes and calls that did not get through since it was found, excused ones included."""
        self.in_flight = 0
        self.outcomes: Counter[str] = Counter()
        """How its calls have ended: `ok`, an error's code, or `cancelled`."""
        self.started_at: datetime | None = None
        """When its process began, as it says."""
        self.restarts = 0
        """How often another process has come in its place since it was found."""
        self._unreachable_after = unreachable_after
        self._clock = clock
        self._on_change = on_change
        self._said_ready = False
        self._excused = 0
        self._ready_since_s = self._measured_at_s = self._judged_at_s = clock()
        self.latency_s: float | None = None
        """Moving average of its answers' time; None before the first."""
        self._failed_share = 0.0

    @property
    def may_be_tried(self) -> bool:
        """Whether it is unreachable as far as is known, and said that it was ready when it was heard of last."""
        return self.state is ReplicaState.UNREACHABLE and self._said_ready

    @property
    def is_in_doubt(self) -> bool:
        """Whether it counts as ready and has not been heard of since it was missed."""
        return self.state is ReplicaState.READY and self.misses + self._excused > 0

    def is_ready(self) -> None:
        """A probe found it ready, or a call was answered."""
        was_ready = self.state is ReplicaState.READY
        self.state, self.reason = ReplicaState.READY, ""
        self._said_ready, self.misses, self._excused = True, 0, 0
        if not was_ready:
            self._ready_since_s = self._clock()
            self._on_change()

    def is_not(self, state: ReplicaState, reason: str) -> None:
        """It is not ready: by its own word, or (`UNREACHABLE`) because it cannot be heard."""
        was_ready, was_tried = self.state is ReplicaState.READY, self.may_be_tried
        self.state, self.reason = state, reason
        self._said_ready &= state is ReplicaState.UNREACHABLE
        if was_ready or was_tried != self.may_be_tried:
            self._on_change()

    def missed(self, reason: str, *, excused: bool = False) -> None:
        """A probe, or a call, did not get through. Of a ready replica this says something only if it happens again.

        Args:
            reason: why, for the operators.
            excused: this process may have been too late itself to see the answer.
        """
        self.missed_in_all += 1
        if excused and self._excused < _MOST_EXCUSED:
            self._excused += 1
            return
        self.misses += 1
        if self.state is not ReplicaState.READY or self.misses >= self._unreachable_after:
            self.is_not(ReplicaState.UNREACHABLE, reason)

    def got_through(self) -> None:
        """A call was answered; so it can be reached, whatever probes said."""
        if self.state is ReplicaState.READY or self.may_be_tried:
            self.is_ready()

    def runs_since(self, started_at: datetime | None) -> None:
        """A probe found out when its process began."""
        known = self.started_at
        if started_at is None or (known is not None and started_at <= known):  # or several processes share an address
            return
        self.restarts += known is not None
        self.started_at = started_at

    def serves(self, models: Mapping[Offer, ServedModel]) -> None:
        """A probe found out what it can be asked for."""
        if models != self.models:
            self.models = models
            self._on_change()

    def no_longer_serves(self, offer: Offer) -> None:
        """A call found that it has moved on; the next probe says what it serves instead."""
        if offer in self.models:
            self.models = {other: model for other, model in self.models.items() if other != offer}
            self._on_change()

    def answered_in(self, seconds: float) -> None:
        """Add one answer's time: a rise counts at once, a fall over time."""
        old = self.latency_s
        if old is None or seconds >= old:
            self.latency_s = seconds
        else:
            keep = self._faded_since(self._measured_at_s)
            self.latency_s = old * keep + seconds * (1 - keep)
        self._measured_at_s = self._clock()

    def takes_at_least(self, seconds: float) -> None:
        """Note that an answer would have taken longer than `seconds`; the caller did not wait for it."""
        if self.latency_s is None or seconds > self.latency_s:
            self.answered_in(seconds)

    def ended(self, *, failed: bool) -> None:
        """Count one call's end into the share of calls that lately failed."""
        share = self._failed_share * self._faded_since(self._judged_at_s)
        self._failed_share = share + _FAILURE_WEIGHT * (failed - share)
        self._judged_at_s = self._clock()

    def _faded_since(self, at_s: float) -> float:
        return math.exp(-(self._clock() - at_s) / _LATENCY_DECAY_S)

    def load(self, typical_s: float) -> float:
        """How heavily the next attempt would weigh here.

        `typical_s` stands in for a latency that is not known; a bad one that is old fades towards it, and so do old
        failures, so that a replica that has recovered is found out.
        """
        latency_s = typical_s if self.latency_s is None else self.latency_s
        if latency_s > typical_s:
            latency_s = typical_s + (latency_s - typical_s) * self._faded_since(self._measured_at_s)
        age_s = self._clock() - self._ready_since_s
        easing = max(0.0, 1 - age_s / _EASE_IN_S) * (_EASE_IN_PENALTY - 1)
        failing = _FAILURE_PENALTY * self._failed_share * self._faded_since(self._judged_at_s)
        return (self.in_flight + 1) * latency_s * (1 + easing) * (1 + failing)
