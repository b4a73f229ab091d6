"""One replica of a stage: what is known of it by its own word, by probes and by calls, and how heavily it weighs.

Latency is a peak-sensitive moving average as in Finagle: a slower answer counts at once, a faster one little by little.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from splitway.gateway.fleet.inventory import Offer, ServedModel
from splitway.gateway.resilience.breaker import CircuitBreaker
from splitway.wire.deadline import Clock


class ReplicaState(StrEnum):
    """What probes know of a replica."""

    UNKNOWN = "unknown"
    READY = "ready"
    NOT_READY = "not_ready"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class BalancePolicy:
    """How replicas are weighed."""

    latency_decay_s: float = 5.0
    """Time in which two thirds of an old latency are forgotten."""
    ease_in_s: float = 5.0
    """Time in which a replica that has become ready takes on its full share."""
    ease_in_penalty: float = 4.0
    """How many times heavier a replica weighs when it has just become ready."""
    failure_penalty: float = 30.0
    """How many times heavier a replica weighs that fails every call; half of that if it fails every other."""
    failure_weight: float = 0.2
    """How much one call's end counts in the share of failures."""
    slow_factor: float = 5.0
    """An answer this many times slower than the stage's fastest replica is slow."""
    slow_floor_s: float = 0.1
    """No answer faster than this is slow."""
    unreachable_after: int = 3
    """Probes and calls in a row that must miss a ready replica before it counts as unreachable."""
    most_excused: int = 5
    """Missed probes in a row that are put down to this process's own delay; those after them count."""


class Replica:
    """One running process of a stage.

    Args:
        url: where it is.
        number: from 1, in the order in which the stage's replicas were found; callers are told this, not where it is.
        breaker: what keeps calls from it.
        policy: how it is weighed.
        clock: monotonic seconds.
        on_change: told when it begins or ceases to be ready, or to serve a model.
    """

    def __init__(
        self,
        url: str,
        number: int,
        breaker: CircuitBreaker,
        policy: BalancePolicy,
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
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._said_ready = False
        self._excused = 0
        self._ready_since_s = clock()
        self.latency_s: float | None = None
        """Moving average of its answers' time; None before the first."""
        self._measured_at_s = clock()
        self._failed_share = 0.0
        self._judged_at_s = clock()

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
        if excused and self._excused < self._policy.most_excused:
            self._excused += 1
            return
        self.misses += 1
        if self.state is not ReplicaState.READY or self.misses >= self._policy.unreachable_after:
            self.is_not(ReplicaState.UNREACHABLE, reason)

    def got_through(self) -> None:
        """A call was answered; so it can be reached, whatever probes said."""
        if self.state is ReplicaState.READY or self.may_be_tried:
            self.is_ready()

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
        self._failed_share = share + self._policy.failure_weight * (failed - share)
        self._judged_at_s = self._clock()

    def _faded_since(self, at_s: float) -> float:
        return math.exp(-(self._clock() - at_s) / self._policy.latency_decay_s)

    def load(self, typical_s: float) -> float:
        """How heavily the next attempt would weigh here.

        `typical_s` stands in for a latency that is not known; a bad one that is old fades towards it, and so do old
        failures, so that a replica that has recovered is found out.
        """
        latency_s = typical_s if self.latency_s is None else self.latency_s
        if latency_s > typical_s:
            latency_s = typical_s + (latency_s - typical_s) * self._faded_since(self._measured_at_s)
        age_s = self._clock() - self._ready_since_s
        easing = max(0.0, 1 - age_s / self._policy.ease_in_s) * (self._policy.ease_in_penalty - 1)
        failing = self._policy.failure_penalty * self._failed_share * self._faded_since(self._judged_at_s)
        return (self.in_flight + 1) * latency_s * (1 + easing) * (1 + failing)
