"""The replicas of one stage, and which of them gets the next attempt.

The choice is the power of two (M. Mitzenmacher, 2001): of two replicas taken at random, the one with the smaller load,
which is attempts in flight times latency. Latency is a peak-sensitive moving average as in Finagle: a slower answer
counts at once, a faster one little by little.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.inventory import Offer, ServedModel
from gateway.resilience.breaker import BreakerPolicy, BreakerState, BreakerTransition, CircuitBreaker, Permit
from gateway.resilience.chance import Chance
from splitway.wire.deadline import Clock

OnTransition = Callable[[str, BreakerTransition], None]


class ReplicaState(StrEnum):
    """What probes know of a replica."""

    UNKNOWN = "unknown"
    READY = "ready"
    NOT_READY = "not_ready"
    UNREACHABLE = "unreachable"


_IN_WORDS = {
    ReplicaState.UNKNOWN: "not asked yet",
    ReplicaState.NOT_READY: "not ready",
    ReplicaState.UNREACHABLE: "cannot be reached",
}


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
        self.reason = "has not been asked yet"
        """Why it is not ready, with addresses and in its own words: for whoever runs Splitway."""
        self.models: Mapping[Offer, ServedModel] = {}
        """What it can be asked for, as it said last."""
        self.in_flight = 0
        self.outcomes: Counter[str] = Counter()
        """How its calls have ended: `ok`, an error's code, or `cancelled`."""
        self._policy = policy
        self._clock = clock
        self._on_change = on_change
        self._ready_since_s = clock()
        self._latency_s: float | None = None
        self._measured_at_s = clock()
        self._failed_share = 0.0
        self._judged_at_s = clock()

    def is_ready(self) -> None:
        """A probe found it ready."""
        was_ready = self.state is ReplicaState.READY
        self.state, self.reason = ReplicaState.READY, ""
        if not was_ready:
            self._ready_since_s = self._clock()
            self._on_change()

    def is_not(self, state: ReplicaState, reason: str) -> None:
        """A probe, or a call, found it not ready."""
        was_ready = self.state is ReplicaState.READY
        self.state, self.reason = state, reason
        if was_ready:
            self._on_change()

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

    @property
    def latency_s(self) -> float | None:
        """Moving average of its answers' time, in seconds; None before the first."""
        return self._latency_s

    def answered_in(self, seconds: float) -> None:
        """Add one answer's time: a rise counts at once, a fall over time."""
        old = self._latency_s
        if old is None or seconds >= old:
            self._latency_s = seconds
        else:
            keep = self._faded_since(self._measured_at_s)
            self._latency_s = old * keep + seconds * (1 - keep)
        self._measured_at_s = self._clock()

    def takes_at_least(self, seconds: float) -> None:
        """Note that an answer would have taken longer than `seconds`, had somebody waited for it."""
        if self._latency_s is None or seconds > self._latency_s:
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
        latency_s = typical_s if self._latency_s is None else self._latency_s
        if latency_s > typical_s:
            latency_s = typical_s + (latency_s - typical_s) * self._faded_since(self._measured_at_s)
        age_s = self._clock() - self._ready_since_s
        easing = max(0.0, 1 - age_s / self._policy.ease_in_s) * (self._policy.ease_in_penalty - 1)
        failing = self._policy.failure_penalty * self._failed_share * self._faded_since(self._judged_at_s)
        return (self.in_flight + 1) * latency_s * (1 + easing) * (1 + failing)


class ReplicaSet:
    """All replicas of a stage.

    Args:
        urls: where they are; may change.
        clock: monotonic seconds.
        chance: random numbers from 0 up to 1.
        on_transition: told of every change of a breaker, with the replica's address.
        on_new: told of every replica that is found, before anything is asked of it.
        on_gone: told of every replica that is there no more.
    """

    def __init__(
        self,
        urls: Collection[str],
        clock: Clock,
        chance: Chance,
        *,
        breaker_policy: BreakerPolicy | None = None,
        policy: BalancePolicy | None = None,
        on_transition: OnTransition = lambda *_: None,
        on_new: Callable[[str], None] = lambda _: None,
        on_gone: Callable[[str], None] = lambda _: None,
        forced: BreakerState | None = None,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._breaker_policy = breaker_policy or BreakerPolicy()
        self._policy = policy or BalancePolicy()
        self._on_transition = on_transition
        self._on_new = on_new
        self._on_gone = on_gone
        self._forced = forced
        self._replicas: dict[str, Replica] = {}
        self._found = 0
        self._on_change: list[Callable[[], None]] = []
        self.update(urls)

    def on_change(self, tell: Callable[[], None]) -> None:
        """Have somebody told of every change in who is ready or in what is served."""
        self._on_change.append(tell)

    def update(self, urls: Collection[str]) -> None:
        """Replicas come and go; those that stay keep what is known of them."""
        before = self._replicas
        self._replicas = {url: before.get(url) or self._make(url) for url in urls}
        if self._replicas.keys() != before.keys():
            self._changed()
        for url in before.keys() - self._replicas.keys():
            self._on_gone(url)

    def _changed(self) -> None:
        for tell in self._on_change:
            tell()

    def _make(self, url: str) -> Replica:
        self._on_new(url)
        breaker = CircuitBreaker(
            self._breaker_policy,
            self._clock,
            self._chance,
            others_serve=lambda: any(r.breaker.lets_through for r in self.ready if r.url != url),
            on_transition=lambda transition: self._on_transition(url, transition),
        )
        if self._forced is not None:
            breaker.force(self._forced)
        self._found += 1
        return Replica(url, self._found, breaker, self._policy, self._clock, self._changed)

    @property
    def replicas(self) -> Sequence[Replica]:
        return list(self._replicas.values())

    @property
    def ready(self) -> list[Replica]:
        return [replica for replica in self._replicas.values() if replica.state is ReplicaState.READY]

    def choose(
        self, exclude: Collection[str] = (), able: Container[str] | None = None
    ) -> tuple[Replica, Permit] | None:
        """Return a replica and leave to call it, or None: none is ready, or all ready ones' breakers refuse.

        Args:
            exclude: replicas that have failed this request already; they are taken only if there is no other.
            able: those that can do what is asked; None for all.
        """
        open_ = [replica for replica in self._able(able) if replica.breaker.lets_through]
        candidates = [replica for replica in open_ if replica.url not in exclude] or open_
        if not candidates:
            return None
        replica = self._lighter(candidates)
        permit = replica.breaker.acquire()
        assert permit is not None, "lets_through and acquire are one decision on one event loop"
        return replica, permit

    def _lighter(self, candidates: list[Replica]) -> Replica:
        if len(candidates) == 1:
            return candidates[0]
        first = int(self._chance() * len(candidates))
        second = (first + 1 + int(self._chance() * (len(candidates) - 1))) % len(candidates)
        typical_s = self.fastest_s or 1.0
        return min(candidates[first], candidates[second], key=lambda replica: replica.load(typical_s))

    def has_other(self, tried: Collection[str], able: Container[str] | None = None) -> bool:
        """Whether an able replica that has not been tried would take a call."""
        return any(r.url not in tried and r.breaker.lets_through for r in self._able(able))

    def _able(self, able: Container[str] | None) -> list[Replica]:
        return self.ready if able is None else [replica for replica in self.ready if replica.url in able]

    @property
    def fastest_s(self) -> float | None:
        """The latency of the fastest ready replica."""
        return min((r.latency_s for r in self.ready if r.latency_s is not None), default=None)

    def is_slow(self, replica: Replica, seconds: float) -> bool:
        """Whether an answer was slow for this stage: judged by the other replicas, not by a fixed time."""
        others = [r.latency_s for r in self.ready if r is not replica and r.latency_s is not None]
        return bool(others) and seconds > max(self._policy.slow_floor_s, self._policy.slow_factor * min(others))

    def why_not_ready(self) -> str | None:
        """Return None if a replica is ready, else how many there are in which state, as callers may know it."""
        if self.ready:
            return None
        states = Counter(replica.state for replica in self._replicas.values())
        found = [f"{states[state]} {words}" for state, words in _IN_WORDS.items() if states[state]]
        return ", ".join(found) or "there is none"

    def retry_after_s(self) -> float:
        """When a refused call may be worth repeating: the soonest that a breaker tries again, or a second."""
        waits = [r.breaker.retry_in_s for r in self.ready if r.breaker.retry_in_s > 0]
        return min(waits, default=1.0)
