"""One stage's turn in a request, its attempts, and its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from splitway.answers.classes.predictions import Prediction
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replica import Replica
from splitway.gateway.fleet.router import Target
from splitway.gateway.hop.timings import HopTimings
from splitway.gateway.resilience.breaker import Permit
from splitway.telemetry.trace import UNRECORDED, Span
from splitway.wire.context import CallContext
from splitway.wire.gathered import Body
from splitway.wire.messages import InferRequest, InferResponse


@dataclass(slots=True)
class Turn:
    """One stage's turn in a request, over all its attempts.

    Args:
        model: the model's name, for messages.
        target: tells which replicas may be asked for which version, as it is known at that moment.
        request: what each of them is asked.
        context: how long the caller waits, and what travels on.
        on_trial: the versions are on trial: one attempt, which leaves the replica's record, the budget and the hedge
            as they are, for the replica serves others as well.
        top_k: how many classes the answer may hold; 0 where it holds tensors.
    """

    model: str
    target: Callable[[], Target]
    request: InferRequest
    context: CallContext
    on_trial: bool = False
    top_k: int = 0
    body: Body = b""
    headers: dict[str, str] = field(default_factory=dict)
    span: Span = UNRECORDED
    """The turn's, below which each attempt has its own."""
    started_s: float = field(default_factory=time.perf_counter)
    tried: set[str] = field(default_factory=set)
    attempts: int = 0
    last_failure: str = ""
    """How the attempt before had failed."""
    paid: int = 0
    """Second and further attempts that the budget has paid for."""
    lost: int = 0
    """Connections that were lost while the request was on a replica."""


class Attempt(NamedTuple):
    """One call to one replica: the leave to make it, the model that is called, its number from 1, whether it runs
    beside an earlier one, and how the one before it had failed."""

    replica: Replica
    permit: Permit
    model: ServedModel
    number: int
    is_hedge: bool = False
    because: str = ""


class HopAnswer(NamedTuple):
    """A stage's checked answer, which of its models gave it, what it took and how many attempts."""

    model: ServedModel
    response: InferResponse
    timings: HopTimings
    attempts: int
    received_bytes: int = 0
    predictions: Sequence[Prediction] = ()
    """Its classes, best first, where they were asked for."""
