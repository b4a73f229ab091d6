"""The replicas of one stage, and which of them gets the next attempt.

The choice is the power of two (M. Mitzenmacher, 2001): of two replicas taken at random, the one with the smaller load,
which is attempts in flight times latency. Where none that can do what is asked is ready, those are tried that merely
cannot be reached as far as is known (Envoy's panic mode): what is known may be wrong, and there is nothing to lose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass
from functools import partial

from splitway.gateway.fleet.replica import Replica, ReplicaState
from splitway.gateway.resilience import Chance
from splitway.gateway.resilience.breaker import BreakerState, CircuitBreaker, Permit
from splitway.names import Role
from splitway.wire.deadline import Clock

_AS_HEAVY = 0.95
"""Of another's load: what differs by less is equal. Old failures and latencies fade and never end, and a replica that
is heavier by next to nothing would get no call, and so no chance to show it, while calls come one at a time."""
_SLOW_FACTOR = 5.0
"""An answer this many times slower than the stage's fastest replica is slow."""
_SLOW_FLOOR_S = 0.1
"""No answer faster than this is slow."""
_IN_WORDS = {
    ReplicaState.UNKNOWN: "not probed yet",
    ReplicaState.NOT_READY: "not ready",
    ReplicaState.UNREACHABLE: "cannot be reached",
}


@dataclass(frozen=True)
class StageConfig:
    """One link of the chain."""

    name: str
    role: Role
    """Of what it is asked for: its own model, or, of heads, any."""
    urls: tuple[str, ...]
    """Where its replicas are, by names or addresses."""


class ReplicaSet:
    """All replicas of a stage.

    Args:
        stage: the stage; its addresses stand for the first replicas.
        unreachable_after: probes and calls in a row that must miss a ready replica before it counts as unreachable.
        on_transition: told of every new state of a breaker, with the stage's name and the replica's address.
        on_new: told the same of every replica that is found, before anything is asked of it.
        on_gone: told the same of every replica that is there no more.
        forced: in which state all breakers are held.
    """

    def __init__(
        self,
        stage: StageConfig,
        clock: Clock,
        chance: Chance,
        *,
        unreachable_after: int = 3,
        on_transition: Callable[[str, str, BreakerState], None] = lambda *_: None,
        on_new: Callable[[str, str], None] = lambda *_: None,
        on_gone: Callable[[str, str], None] = lambda *_: None,
        forced: BreakerState | None = None,
    ) -> None:
        self.name, self.role = stage.name, stage.role
        self._clock = clock
        self._chance = chance
        self._unreachable_after = unreachable_after
        self._on_transition = on_transition
        self._on_new = on_new
        self._on_gone = on_gone
        self._forced = forced
        self._replicas: dict[str, Replica] = {}
        self._found = 0
        self._on_change: list[Callable[[], None]] = []
        self.update(stage.urls)

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever a replica becomes or ceases to be ready, or serves other models."""
        self._on_change.append(tell)

    def update(self, urls: Collection[str]) -> None:
        """Replicas come and go; those that stay keep what is known of them."""
        before = self._replicas
        self._replicas = {url: before.get(url) or self._make(url) for url in urls}
        if self._replicas.keys() != before.keys():
            self._changed()
        for url in before.keys() - self._replicas.keys():
            self._on_gone(self.name, url)

    def _changed(self) -> None:
        for tell in self._on_change:
            tell()

    def _make(self, url: str) -> Replica:
        self._on_new(self.name, url)
        breaker = CircuitBreaker(
            self._clock,
            self._chance,
            others_serve=lambda: any(r.breaker.lets_through for r in self.ready if r.url != url),
            on_transition=partial(self._on_transition, self.name, url),
        )
        if self._forced is not None:
            breaker.force(self._forced)
        self._found += 1
        return Replica(url, self._found, breaker, self._unreachable_after, self._clock, self._changed)

    @property
    def replicas(self) -> Sequence[Replica]:
        return list(self._replicas.values())

    @property
    def ready(self) -> list[Replica]:
        return [replica for replica in self._replicas.values() if replica.state is ReplicaState.READY]

    @property
    def lost(self) -> list[Replica]:
        """Those that were ready when they were heard of last, and cannot be reached."""
        return [replica for replica in self._replicas.values() if replica.may_be_tried]

    def choose(
        self, exclude: Collection[str] = (), able: Container[str] | None = None
    ) -> tuple[Replica, Permit] | None:
        """Return a replica and leave to call it, or None: there is none to be asked, or their breakers refuse.

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
        typical_s = min((r.latency_s for r in self.ready if r.latency_s is not None), default=None) or 1.0
        one, other = candidates[first], candidates[second]
        return other if other.load(typical_s) < _AS_HEAVY * one.load(typical_s) else one

    def has_other(self, tried: Collection[str], able: Container[str] | None = None) -> bool:
        """Whether an able replica that has not been tried would take a call."""
        return any(r.url not in tried and r.breaker.lets_through for r in self._able(able))

    def _able(self, able: Container[str] | None) -> list[Replica]:
        """Those that can do what is asked: the ready ones, or where none is, those that are lost."""
        ready = self.ready if able is None else [replica for replica in self.ready if replica.url in able]
        return ready or [replica for replica in self.lost if able is None or replica.url in able]

    def is_slow(self, replica: Replica, seconds: float) -> bool:
        """Whether an answer was slow for this stage: judged by the other replicas, not by a fixed time."""
        others = [r.latency_s for r in self.ready if r is not replica and r.latency_s is not None]
        return bool(others) and seconds > max(_SLOW_FLOOR_S, _SLOW_FACTOR * min(others))

    def why_not_ready(self) -> str | None:
        """Return None if a replica is ready, else how many there are in which state, as callers may know it."""
        if self.ready:
            return None
        states = Counter(replica.state for replica in self._replicas.values())
        found = [f"{states[state]} {words}" for state, words in _IN_WORDS.items() if states[state]]
        tried = len(self.lost)
        tail = f"; {tried} of them {'is' if tried == 1 else 'are'} tried anyway" if tried else ""
        return (", ".join(found) or "there is none") + tail

    def retry_after_s(self) -> float:
        """When a refused call may be worth repeating: the soonest that a breaker tries again, or a second."""
        waits = [r.breaker.retry_in_s for r in self.ready or self.lost if r.breaker.retry_in_s > 0]
        return min(waits, default=1.0)
