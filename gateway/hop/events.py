"""What happens between the gateway and its stages, as events that cannot be changed, handed to subscribers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from splitway.gateway.resilience.breaker import BreakerState

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


class HopEnded(NamedTuple):
    """A stage's turn in one request ended, with all its attempts."""

    stage: str
    outcome: str
    seconds: float
    attempts: int
    """0 where no replica could be asked, or there was no time."""


class BreakerMoved(NamedTuple):
    """A replica's breaker changed its state."""

    stage: str
    replica: str
    state: BreakerState


Event = AttemptEnded | HopEnded | BreakerMoved
Subscriber = Callable[[Event], None]
