"""One stage's turn in a request, its attempts, its answer, and where its time went."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from splitway.answers.classes.predictions import Prediction
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replica import Replica
from splitway.gateway.fleet.router import Target
from splitway.gateway.resilience.breaker import Permit
from splitway.telemetry.trace import UNRECORDED, Span
from splitway.wire.context import CallContext
from splitway.wire.gathered import Body
from splitway.wire.messages import InferRequest, InferResponse

_ENTRY = re.compile(r"(?:^|,)\s*(queue|decode|compute);dur=([^,]*)")


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
        takes: the models whose output it is asked about.
    """

    model: str
    target: Callable[[], Target]
    request: InferRequest
    context: CallContext
    on_trial: bool = False
    top_k: int = 0
    takes: tuple[str, ...] = ()
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


class HopTimings(NamedTuple):
    """Where one hop's time went, in seconds. `network` is all that is none of the others: on the wire, and on the way
    between it and the engine."""

    queue: float
    decode: float
    compute: float
    network: float
    total: float

    def in_ms(self) -> dict[str, float]:
        """The same in milliseconds, to a thousandth."""
        return {
            "queue": round(self.queue * 1000, 3),
            "decode": round(self.decode * 1000, 3),
            "compute": round(self.compute * 1000, 3),
            "network": round(self.network * 1000, 3),
            "total": round(self.total * 1000, 3),
        }

    @classmethod
    def of_cache(cls, seconds: float) -> HopTimings:
        """A turn that was served from the gateway's own cache: all of it is time in the queue for that."""
        return cls(seconds, 0.0, 0.0, 0.0, seconds)


class HopAnswer(NamedTuple):
    """A stage's checked answer, which of its models gave it, what it took and how many attempts."""

    model: ServedModel
    response: InferResponse
    timings: HopTimings
    attempts: int
    received_bytes: int = 0
    predictions: Sequence[Prediction] = ()
    """Its classes, best first, where they were asked for."""


def read_timings(server_timing: str, total_s: float) -> HopTimings:
    """Read a stage's Server-Timing; what is missing, malformed or longer than the whole hop counts as time on the
    network."""
    parts = {"queue": 0.0, "decode": 0.0, "compute": 0.0}
    for name, duration in _ENTRY.findall(server_timing):
        try:
            seconds = float(duration) / 1000
        except ValueError:
            continue
        if 0 <= seconds <= total_s:  # neither NaN nor infinite: it is counted, and shown as JSON
            parts[name] = seconds
    queue, decode, compute = parts.values()
    return HopTimings(queue, decode, compute, max(0.0, total_s - queue - decode - compute), total_s)


def spent(hops: Sequence[HopTimings]) -> tuple[float, float]:
    """Return how long a request waited and how long it was worked on, over all hops, in seconds."""
    worked_s = sum(hop.decode + hop.compute for hop in hops)
    return sum(hop.total for hop in hops) - worked_s, worked_s
