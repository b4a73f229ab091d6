"""One hop: from an inference request to a stage's checked answer.

Nested calls of one shape, one concern each: the retries, the hedge, the choice of a replica, the attempt with its
breaker's permit. The order is fixed: total deadline, retry with budget, replica, breaker, limit of the attempt,
transport.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from splitway.errors import DeadlineExceeded, FeatureSpaceMismatch, Unavailable, Unreachable
from splitway.gateway.callers.caller import caller_of, pseudonym
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replica import Replica
from splitway.gateway.fleet.replica_description import described
from splitway.gateway.fleet.replicas import ReplicaSet
from splitway.gateway.fleet.router import NoChain, Target
from splitway.gateway.hop.attempt import Attempt, AttemptMaker, Call, CheckAnswer, Success
from splitway.gateway.hop.events import HopEnded, Subscriber
from splitway.gateway.hop.timings import HopTimings, read_timings
from splitway.gateway.hop.verdict import Blame, Verdict
from splitway.gateway.resilience.budget import RetryBudget
from splitway.gateway.resilience.hedge import HedgeDelay, hedged
from splitway.gateway.resilience.retry import AttemptFailed, RetryPolicy, with_retries
from splitway.gateway.resilience.suspects import Suspects, digest_of
from splitway.gateway.transport.transport import CutOff
from splitway.telemetry.ending import outcome_name
from splitway.telemetry.outcome import OK
from splitway.telemetry.trace import TRACEPARENT, TRACESTATE
from splitway.telemetry.watch import REQUEST_ID
from splitway.wire.context import CALLER_HEADER, CallContext
from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, gather_request

_ONCE = RetryPolicy(max_attempts=1)
_MOST_LOST = 2
"""Connections that may be lost with one request."""
FORWARDED_HEADERS = (TRACEPARENT, TRACESTATE, REQUEST_ID)


class NotCalled(Unavailable):
    """The breakers let no call through, so no replica was called."""


class HopAnswer(NamedTuple):
    """A stage's checked answer, which of its models gave it, what it took and how many attempts."""

    model: ServedModel
    response: InferResponse
    timings: HopTimings
    attempts: int


class Errand(NamedTuple):
    """What a stage is to be asked.

    Args:
        model: the model's name, for messages.
        target: tells who may be asked for which version, as it is known at that moment.
        check: judges an answer.
        on_trial: the versions are on trial: one attempt, which leaves the replica's record, the budget and the hedge
            as they are.
    """

    model: str
    target: Callable[[], Target]
    check: CheckAnswer
    on_trial: bool = False


@dataclass
class _Hop:
    """One request's turn at this stage, over all its attempts."""

    errand: Errand
    call: Call
    tried: set[str] = field(default_factory=set)
    attempts: int = 0
    last_failure: str = ""
    """How the attempt before had failed."""
    paid: int = 0
    """Second and further attempts that the budget has paid for."""
    inputs: tuple[Tensor, ...] = ()
    lost: int = 0
    """Connections that were lost while the request was on a replica."""


class StageClient:
    """Calls one stage.

    Args:
        name: the stage.
        replicas: where it runs.
        attempt: makes one call to one of them.
        budget: what pays for its retries and hedges.
        on_event: told of every turn's end.
        hedge: after how long a second replica is asked too; None for never.
    """

    def __init__(
        self,
        name: str,
        replicas: ReplicaSet,
        attempt: AttemptMaker,
        budget: RetryBudget,
        on_event: Subscriber,
        *,
        hedge: HedgeDelay | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self.name = name
        self.replicas = replicas
        self.budget = budget
        self._attempt = attempt
        self._on_event = on_event
        self._hedge = hedge
        self._retry_policy = retry_policy or RetryPolicy()
        self._suspects = Suspects(time.monotonic)

    @property
    def suspects(self) -> int:
        """How many requests get one attempt alone."""
        return len(self._suspects)

    def describe(self) -> dict[str, Any]:
        """The stage and its replicas as they are now."""
        return {
            "name": self.name,
            "ready": bool(self.replicas.ready),
            "retry_budget": round(self.budget.tokens, 2),
            "replicas": [described(replica, self.name) for replica in self.replicas.replicas],
        }

    async def infer(self, request: InferRequest, context: CallContext, errand: Errand) -> HopAnswer:
        """Run the stage once, in as many attempts as it takes, the time allows and the budget pays for.

        Raises:
            NoChain: every suitable replica has moved on to another version.
            SplitwayError: with `stage` set; what the stage refused keeps the stage's own words.
        """
        started_s = time.perf_counter()
        body, header_length = gather_request(request)
        headers = {name: context.headers[name] for name in FORWARDED_HEADERS if name in context.headers}
        headers |= {
            HEADER_LENGTH: header_length,
            "content-type": "application/octet-stream",
            "accept-encoding": "identity",
        }
        if caller := caller_of(context.scope):
            headers[CALLER_HEADER] = pseudonym(caller)
        if not errand.on_trial:
            self.budget.first_attempt()
        with context.span.child(errand.model) as span:
            if span.recorded:
                span.attributes["stage"] = errand.model
            call = Call(body, headers, context.deadline, errand.check, errand.on_trial, span)
            hop = _Hop(errand, call, inputs=request.inputs)
            success = await self._follow(hop, started_s)
        timings = read_timings(success.server_timing, time.perf_counter() - started_s)
        return HopAnswer(success.model, success.response, timings, hop.attempts)

    async def _follow(self, hop: _Hop, started_s: float) -> Success:
        """Run all attempts of one turn, and tell of its end."""
        outcome = OK
        try:
            return await with_retries(
                lambda number: self._with_hedge(hop) if number == 1 else self._on_a_replica(hop),
                _ONCE if hop.errand.on_trial else self._retry_policy,
                hop.call.deadline,
                pay=lambda: self._pay(hop),
                chance=random.random,
            )
        except BaseException as error:
            outcome = outcome_name(error)
            raise
        finally:
            self._on_event(HopEnded(self.name, outcome, time.perf_counter() - started_s, hop.attempts))

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
        delay_s = None if self._hedge is None or hop.errand.on_trial else self._hedge.seconds
        if delay_s is None or delay_s >= hop.call.deadline.remaining_s or await self._is_suspect(hop):
            return await self._on_a_replica(hop)

        def second() -> Coroutine[Any, Any, Success] | None:
            if not self.replicas.has_other(hop.tried, hop.errand.target()) or not self._pay(hop):
                return None
            return self._on_a_replica(hop, is_hedge=True)

        return await hedged(self._on_a_replica(hop), second, delay_s)

    async def _on_a_replica(self, hop: _Hop, *, is_hedge: bool = False) -> Success:
        """Choose a replica; while the call provably does nothing, each other one gets its turn.

        That is so where it never arrives, and where the replica no longer serves the version that was to be called.
        """
        while True:
            if hop.call.deadline.expired:
                error = DeadlineExceeded(
                    f"the deadline passed before {hop.errand.model} answered", stage=hop.errand.model
                )
                raise AttemptFailed(error, may_retry=False)
            target = hop.errand.target()
            choice = self.replicas.choose(hop.tried, target)
            if choice is None:
                raise AttemptFailed(self._nobody_there(hop.errand.model, target), may_retry=False)
            replica, permit = choice
            model = target[replica.url]
            hop.tried.add(replica.url)
            hop.attempts += 1
            started_s = time.perf_counter()
            try:
                end = await self._attempt(
                    replica, permit, hop.call, Attempt(model, hop.attempts, is_hedge, hop.last_failure)
                )
            finally:
                if self._hedge is not None and not hop.errand.on_trial:
                    self._hedge.observe(time.perf_counter() - started_s)
            if not isinstance(end, Verdict):
                return end
            hop.last_failure = end.error.code
            if _lost_connection(end) and not await self._may_go_on(hop):
                raise AttemptFailed(end.error, may_retry=False)
            if end.has_moved_on and self._forget(replica, model, hop, end):
                continue
            elsewhere = self.replicas.has_other(hop.tried, target)
            if not (isinstance(end.error, Unreachable) and elsewhere):
                raise AttemptFailed(
                    end.error, may_retry=end.may_retry, elsewhere=elsewhere, not_before_s=end.not_before_s
                )

    async def _may_go_on(self, hop: _Hop) -> bool:
        """Count a connection that was lost with a request; say whether another replica may be given to it."""
        hop.lost += 1
        if hop.lost >= _MOST_LOST:
            self._suspects.add(await digest_of(hop.errand.model, hop.inputs))
            return False
        return not await self._is_suspect(hop)

    async def _is_suspect(self, hop: _Hop) -> bool:
        """Whether a request like this has lost two connections within the last minute."""
        if not self._suspects:
            return False
        return await digest_of(hop.errand.model, hop.inputs) in self._suspects

    @staticmethod
    def _forget(replica: Replica, model: ServedModel, hop: _Hop, end: Verdict) -> bool:
        """Note that a replica no longer serves a version; return whether to try another replica.

        A head that refuses the features and is the only one is not forgotten: fresh features may suit it.
        """
        if isinstance(end.error, FeatureSpaceMismatch) and len(hop.errand.target()) == 1:
            return False
        replica.no_longer_serves(model.offer)
        return True

    def _nobody_there(self, model: str, target: Target) -> Unavailable:
        kind = NotCalled if target else NoChain
        if target:
            reasons = "the breakers of all its replicas are open"
        else:
            reasons = self.replicas.why_not_ready() or f"none serves a suitable version of {model}"
        detail = f"no replica of {self.name} can be called: {reasons}"
        return kind(detail, stage=model, retry_after_s=self.replicas.retry_after_s())


def _lost_connection(end: Verdict) -> bool:
    """Whether the request was on its way, or there, when the connection was lost."""
    broke_off = end.blame is Blame.CONNECTION and not isinstance(end.error, Unreachable)
    return broke_off or isinstance(end.error, CutOff)
