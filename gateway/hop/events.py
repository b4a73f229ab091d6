"""What happens between the gateway and its stages, as events that cannot be changed, handed to subscribers and noted on
their request's way. Times are by `time.perf_counter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from splitway.gateway.resilience.breaker import BreakerState
from splitway.names import Role

ATTEMPT = "attempt"
"""The name of the spans of calls to replicas; they lie below their stage's."""


class AttemptEnded(NamedTuple):
    """One call to one replica ended: `ok`, an error's code, or `cancelled`."""

    stage: str
    replica: str
    outcome: str
    seconds: float
    is_hedge: bool
    """Whether it ran beside an earlier one."""
    because: str
    """How the attempt before it had failed; empty for a first one, and beside one that still ran."""
    sent_bytes: int
    received_bytes: int
    """Of the bodies; 0 where no answer came that could be read."""
    model: str = ""
    turn_s: float = 0.0
    """When the turn began that it is of."""
    began_s: float = 0.0
    number: int = 0
    """Within its turn, from 1."""
    replica_number: int = 0


class HopEnded(NamedTuple):
    """A stage's turn in one request ended, with all its attempts."""

    stage: str
    outcome: str
    seconds: float
    attempts: int
    """0 where no replica could be asked, or there was no time."""
    model: str = ""
    role: Role = "extractor"
    """Of what the stage is asked for."""
    began_s: float = 0.0
    takes: tuple[str, ...] = ()
    """The models whose output it was given."""
    cache: str | None = None
    """How the feature cache gave the answer, where no replica did."""


class BreakerMoved(NamedTuple):
    """A replica's breaker changed its state."""

    stage: str
    replica: str
    state: BreakerState


Event = AttemptEnded | HopEnded | BreakerMoved
Subscriber = Callable[[Event], None]
