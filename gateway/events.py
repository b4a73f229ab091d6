"""What happens between the gateway and its stages, as frozen events handed to subscribers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.resilience.breaker import BreakerTransition


@dataclass(frozen=True)
class AttemptEnded:
    """One call to one replica ended: `ok`, an error's code, or `cancelled`."""

    stage: str
    replica: str
    outcome: str
    seconds: float
    number: int
    """1 for a request's first attempt at this stage."""
    is_hedge: bool
    """Whether it ran beside an earlier one."""


@dataclass(frozen=True)
class BreakerMoved:
    """A replica's breaker changed its state."""

    stage: str
    replica: str
    transition: BreakerTransition


Event = AttemptEnded | BreakerMoved
Subscriber = Callable[[Event], None]
