"""One hop: from an inference request to a stage's checked answer.

Nested calls of one shape, one concern each: the retries, the choice of a replica, the attempt with its breaker's
permit. The order is fixed: total deadline, retry with budget, replica, breaker, limit of the attempt, transport.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.events import AttemptEnded, Subscriber
from gateway.resilience.breaker import Permit
from gateway.resilience.budget import RetryBudget
from gateway.resilience.replicas import Replica, ReplicaSet, ReplicaState
from gateway.resilience.retry import AttemptFailed, RetryPolicy, with_retries
from gateway.transport import Transport
from gateway.verdict import Blame, Verdict, judge_error, judge_reply
from splitway.errors import BadStageAnswer, DeadlineExceeded, InvalidInput, SplitwayError, Unavailable, Unreachable
from splitway.wire.deadline import TIMEOUT_HEADER, Deadline
from splitway.wire.v2_json import HEADER_LENGTH, InferRequest, InferResponse, build_request, parse_response
from splitway.wire.v2_rest import CallContext

ATTEMPT_HEADER = "x-attempt-count"
FORWARDED_HEADERS = ("traceparent", "tracestate", "x-request-id")


@dataclass(frozen=True)
class HopTimings:
    """Where one hop's time went, in seconds. `network` is what the stage itself does not account for."""

    queue: float
    decode: float
    compute: float
    network: float
    total: float


@dataclass(frozen=True)
class HopAnswer:
    """A stage's checked answer, what it took and how many attempts."""

    response: InferResponse
    timings: HopTimings
    attempts: int


@dataclass
class _Hop:
    """One request's turn at this stage, over all its attempts."""

    body: bytes
    headers: dict[str, str]
    deadline: Deadline
    tried: set[str]
    attempts: int = 0


class StageClient:
    """Calls one stage.

    Args:
        name: the stage, and the model's name on it.
        replicas: where it runs.
        transport: sends the bytes.
        budget: what pays for its retries.
        takes_callers_input: whether it is the first of the chain; what a later stage is sent is not the caller's
            doing, and a stage that refuses it is at odds with the one before it.
        attempt_timeout_s: the most that one attempt may take.
        on_event: told of every attempt's end.
    """

    def __init__(
        self,
        name: str,
        replicas: ReplicaSet,
        transport: Transport,
        budget: RetryBudget,
        *,
        takes_callers_input: bool,
        attempt_timeout_s: float,
        on_event: Subscriber,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self.name = name
        self.replicas = replicas
        self.budget = budget
        self._transport = transport
        self._takes_callers_input = takes_callers_input
        self._attempt_timeout_s = attempt_timeout_s
        self._on_event = on_event
        self._retry_policy = retry_policy or RetryPolicy()

    async def infer(self, request: InferRequest, context: CallContext) -> HopAnswer:
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
        hop = _Hop(body, headers, context.deadline, set())
        self.budget.first_attempt()
        response, server_timing = await with_retries(
            lambda _: self._on_a_replica(hop), self._retry_policy, hop.deadline, pay=self._pay, chance=random.random
        )
        return HopAnswer(response, _timings(server_timing, time.perf_counter() - started_s), hop.attempts)

    def _pay(self) -> bool:
        self.budget.raise_cap(max((replica.in_flight for replica in self.replicas.replicas), default=0))
        return self.budget.spend()

    async def _on_a_replica(self, hop: _Hop) -> tuple[InferResponse, str]:
        """Choose a replica; while the call provably never arrives, each other one gets its turn."""
        while True:
            if hop.deadline.expired:
                error = DeadlineExceeded(f"the time was up before {self.name} answered", stage=self.name)
                raise AttemptFailed(error, may_retry=False)
            choice = self.replicas.choose(hop.tried)
            if choice is None:
                raise AttemptFailed(self._nobody_there(), may_retry=False)
            replica, permit = choice
            hop.tried.add(replica.url)
            with replica.borrowed():
                verdict = await self._attempt(replica, permit, hop)
            if not isinstance(verdict, Verdict):
                return verdict
            elsewhere = self.replicas.has_other(hop.tried)
            if not (isinstance(verdict.error, Unreachable) and elsewhere):
                raise AttemptFailed(
                    verdict.error,
                    may_retry=verdict.may_retry,
                    elsewhere=elsewhere,
                    not_before_s=verdict.not_before_s,
                )

    def _nobody_there(self) -> Unavailable:
        reasons = self.replicas.why_not_ready() or "the breakers of all its replicas are open"
        detail = f"no replica of {self.name} takes calls: {reasons}"
        return Unavailable(detail, stage=self.name, retry_after_s=self.replicas.retry_after_s())

    async def _attempt(self, replica: Replica, permit: Permit, hop: _Hop) -> tuple[InferResponse, str] | Verdict:
        """Make one call and settle the breaker's permit, however it ends."""
        hop.attempts += 1
        started_s = time.perf_counter()
        outcome = "cancelled"
        try:
            answer = await self._call(replica, hop)
            seconds = time.perf_counter() - started_s
            if isinstance(answer, Verdict):
                outcome = answer.error.code
                self._settle(replica, permit, answer, seconds)
            else:
                outcome = "ok"
                permit.succeeded(slow=self.replicas.is_slow(replica, seconds))
                replica.ended(failed=False)
                replica.answered_in(seconds)
            return answer
        except BaseException:
            permit.released()
            raise
        finally:
            seconds = time.perf_counter() - started_s
            self._on_event(AttemptEnded(self.name, replica.url, outcome, seconds, hop.attempts))

    def _settle(self, replica: Replica, permit: Permit, verdict: Verdict, seconds: float) -> None:
        if verdict.blame is not Blame.NONE:
            replica.ended(failed=True)
        if verdict.blame is Blame.NONE:
            permit.released()
        elif verdict.blame is Blame.SLOW:
            permit.succeeded(slow=True)
        else:
            permit.failed(connection_error=verdict.blame is Blame.CONNECTION)
        if isinstance(verdict.error, DeadlineExceeded):
            replica.answered_in(seconds)  # it would have taken longer still
        if isinstance(verdict.error, Unreachable):
            replica.is_not(ReplicaState.UNREACHABLE, verdict.error.detail)

    async def _call(self, replica: Replica, hop: _Hop) -> tuple[InferResponse, str] | Verdict:
        timeout_s = min(hop.deadline.remaining_s, self._attempt_timeout_s)
        limit = Deadline.after(timeout_s)
        headers = {**hop.headers, TIMEOUT_HEADER: limit.header(), ATTEMPT_HEADER: str(hop.attempts)}
        url = f"{replica.url}/v2/models/{self.name}/infer"
        try:
            reply = await self._transport.call(
                self.name, "POST", url, timeout_s=timeout_s, headers=headers, body=hop.body
            )
            if reply.status != 200:
                return judge_reply(self.name, reply, takes_callers_input=self._takes_callers_input)
            response = parse_response(reply.body, reply.headers.get(HEADER_LENGTH))
        except InvalidInput as error:
            nonsense = BadStageAnswer(f"{self.name} sent an answer that cannot be read: {error}", stage=self.name)
            return self._judge(nonsense, hop, timeout_s)
        except SplitwayError as error:
            return self._judge(error, hop, timeout_s)
        return response, reply.headers.get("server-timing", "")

    def _judge(self, error: SplitwayError, hop: _Hop, timeout_s: float) -> Verdict:
        had_time = timeout_s >= self._attempt_timeout_s
        return judge_error(error, time_is_up=hop.deadline.expired, was_given_time=had_time)


def _timings(server_timing: str, total_s: float) -> HopTimings:
    """Read a stage's Server-Timing; what is missing or malformed counts as time on the network."""
    parts: dict[str, float] = {}
    for entry in server_timing.split(","):
        name, _, duration = entry.strip().partition(";dur=")
        try:
            parts[name] = float(duration) / 1000
        except ValueError:
            continue
    network = max(0.0, total_s - parts.get("total", 0.0))
    return HopTimings(parts.get("queue", 0.0), parts.get("decode", 0.0), parts.get("compute", 0.0), network, total_s)


def spent(timings: Mapping[str, HopTimings]) -> tuple[float, float]:
    """Return how long a request waited and how long it was worked on, over all hops, in seconds."""
    worked_s = sum(hop.decode + hop.compute for hop in timings.values())
    return sum(hop.total for hop in timings.values()) - worked_s, worked_s
