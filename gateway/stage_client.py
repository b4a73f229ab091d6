"""One hop: from an inference request to a stage's checked answer.

Nested calls of one shape, one concern each: the retries, the hedge, the choice of a replica, the attempt with its
breaker's permit. The order is fixed: total deadline, retry with budget, replica, breaker, limit of the attempt,
transport.
"""

from __future__ import annotations

import random
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.attempt import Attempt, AttemptMaker, Call, CheckAnswer, Success
from gateway.resilience.budget import RetryBudget
from gateway.resilience.hedge import HedgeDelay, hedged
from gateway.resilience.replicas import ReplicaSet
from gateway.resilience.retry import AttemptFailed, RetryPolicy, with_retries
from gateway.verdict import Verdict
from splitway.errors import DeadlineExceeded, Unavailable, Unreachable
from splitway.wire.v2_json import HEADER_LENGTH, InferRequest, InferResponse, build_request
from splitway.wire.v2_rest import CallContext

FORWARDED_HEADERS = ("traceparent", "tracestate", "x-request-id")


@dataclass(frozen=True)
class HopTimings:
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


@dataclass(frozen=True)
class HopAnswer:
    """A stage's checked answer, what it took and how many attempts."""

    response: InferResponse
    timings: HopTimings
    attempts: int


@dataclass
class _Hop:
    """One request's turn at this stage, over all its attempts."""

    call: Call
    tried: set[str] = field(default_factory=set)
    attempts: int = 0
    paid: int = 0
    """Second and further attempts that the budget has paid for."""


class StageClient:
    """Calls one stage.

    Args:
        name: the stage.
        replicas: where it runs.
        attempt: makes one call to one of them.
        budget: what pays for its retries and hedges.
        hedge: after how long a second replica is asked too; None for never.
    """

    def __init__(
        self,
        name: str,
        replicas: ReplicaSet,
        attempt: AttemptMaker,
        budget: RetryBudget,
        *,
        hedge: HedgeDelay | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self.name = name
        self.replicas = replicas
        self.budget = budget
        self._attempt = attempt
        self._hedge = hedge
        self._retry_policy = retry_policy or RetryPolicy()

    async def infer(self, request: InferRequest, context: CallContext, check: CheckAnswer) -> HopAnswer:
        """Run the stage once, in as many attempts as it takes, the time allows and the budget pays for.

        Raises:
            SplitwayError: with `stage` set; what the stage refused keeps the stage's own words.
        """
        started_s = time.perf_counter()
        body, header_length = build_request(request)
        headers = {name: context.headers[name] for name in FORWARDED_HEADERS if name in context.headers}
        headers |= {
            HEADER_LENGTH: header_length,
            "content-type": "application/octet-stream",
            "accept-encoding": "identity",
        }
        hop = _Hop(Call(body, headers, context.deadline, check))
        self.budget.first_attempt()
        success = await with_retries(
            lambda number: self._with_hedge(hop) if number == 1 else self._on_a_replica(hop),
            self._retry_policy,
            context.deadline,
            pay=lambda: self._pay(hop),
            chance=random.random,
        )
        timings = _timings(success.server_timing, time.perf_counter() - started_s)
        return HopAnswer(success.response, timings, hop.attempts)

    def _pay(self, hop: _Hop) -> bool:
        if hop.paid + 1 >= self._retry_policy.max_attempts:
            return False
        self.budget.raise_cap(max((replica.in_flight for replica in self.replicas.replicas), default=0))
        if not self.budget.spend():
            return False
        hop.paid += 1
        return True

    async def _with_hedge(self, hop: _Hop) -> Success:
        """Run the first attempt; if it takes unusually long, another replica is asked too."""
        delay_s = None if self._hedge is None else self._hedge.seconds
        if delay_s is None or delay_s >= hop.call.deadline.remaining_s:
            return await self._on_a_replica(hop)

        def second() -> Coroutine[Any, Any, Success] | None:
            if not self.replicas.has_other(hop.tried) or not self._pay(hop):
                return None
            return self._on_a_replica(hop, is_hedge=True)

        return await hedged(self._on_a_replica(hop), second, delay_s)

    async def _on_a_replica(self, hop: _Hop, *, is_hedge: bool = False) -> Success:
        """Choose a replica; while the call provably never arrives, each other one gets its turn."""
        while True:
            if hop.call.deadline.expired:
                error = DeadlineExceeded(f"the time was up before {self.name} answered", stage=self.name)
                raise AttemptFailed(error, may_retry=False)
            choice = self.replicas.choose(hop.tried)
            if choice is None:
                raise AttemptFailed(self._nobody_there(), may_retry=False)
            replica, permit = choice
            hop.tried.add(replica.url)
            hop.attempts += 1
            started_s = time.perf_counter()
            try:
                end = await self._attempt(replica, permit, hop.call, Attempt(hop.attempts, is_hedge))
            finally:
                if self._hedge is not None:
                    self._hedge.observe(time.perf_counter() - started_s)
            if not isinstance(end, Verdict):
                return end
            elsewhere = self.replicas.has_other(hop.tried)
            if not (isinstance(end.error, Unreachable) and elsewhere):
                raise AttemptFailed(
                    end.error, may_retry=end.may_retry, elsewhere=elsewhere, not_before_s=end.not_before_s
                )

    def _nobody_there(self) -> Unavailable:
        reasons = self.replicas.why_not_ready() or "the breakers of all its replicas are open"
        detail = f"no replica of {self.name} takes calls: {reasons}"
        return Unavailable(detail, stage=self.name, retry_after_s=self.replicas.retry_after_s())


def _timings(server_timing: str, total_s: float) -> HopTimings:
    """Read a stage's Server-Timing; what is missing or malformed counts as time on the network."""
    parts: dict[str, float] = {}
    for entry in server_timing.split(","):
        name, _, duration = entry.strip().partition(";dur=")
        try:
            parts[name] = float(duration) / 1000
        except ValueError:
            continue
    queue, decode, compute = (parts.get(name, 0.0) for name in ("queue", "decode", "compute"))
    return HopTimings(queue, decode, compute, max(0.0, total_s - queue - decode - compute), total_s)


def spent(timings: Mapping[str, HopTimings]) -> tuple[float, float]:
    """Return how long a request waited and how long it was worked on, over all hops, in seconds."""
    worked_s = sum(hop.decode + hop.compute for hop in timings.values())
    return sum(hop.total for hop in timings.values()) - worked_s, worked_s
