"""The replicas of one stage, and which of them gets the next attempt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

_LATENCY_WEIGHT = 0.1


class ReplicaState(StrEnum):
    """What is known of a replica."""

    UNKNOWN = "unknown"
    READY = "ready"
    NOT_READY = "not_ready"
    UNREACHABLE = "unreachable"


@dataclass
class Replica:
    """One running process of a stage."""

    url: str
    state: ReplicaState = ReplicaState.UNKNOWN
    reason: str = "not asked yet"
    """Why it is not ready; empty when it is."""
    version: str | None = None
    feature_space: str | None = None
    output_shape: tuple[int, ...] = ()
    in_flight: int = 0
    latency_s: float | None = None
    """Moving average of its answers' time, in seconds."""

    def is_ready(self) -> None:
        self.state, self.reason = ReplicaState.READY, ""

    def is_not(self, state: ReplicaState, reason: str) -> None:
        self.state, self.reason = state, reason

    def answered_in(self, seconds: float) -> None:
        """Add one answer's time to the moving average."""
        old = self.latency_s
        self.latency_s = seconds if old is None else old + _LATENCY_WEIGHT * (seconds - old)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Count one attempt as in flight."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


@dataclass
class ReplicaSet:
    """Picks the ready replica with the fewest attempts in flight; of equals, each in turn."""

    replicas: Sequence[Replica]
    _turn: int = field(default=0, init=False)

    @property
    def ready(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.state is ReplicaState.READY]

    def choose(self) -> Replica | None:
        """Return the replica for the next attempt, or None if none is ready."""
        ready = self.ready
        if not ready:
            return None
        self._turn += 1
        start = self._turn % len(ready)
        return min(ready[start:] + ready[:start], key=lambda replica: replica.in_flight)

    def why_not_ready(self) -> str | None:
        """Return None if a replica is ready, else what is wrong with each."""
        if self.ready:
            return None
        return "; ".join(f"{replica.url} {replica.reason}" for replica in self.replicas)
