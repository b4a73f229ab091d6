"""One attempt: a call to one replica, with its breaker's permit settled and its end recorded, however it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from splitway.answers.classes.predictions import Prediction, most_classes, read_predictions
from splitway.errors import BadStageAnswer, DeadlineExceeded, InvalidInput, SplitwayError, TooLarge, Unreachable
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replicas import ReplicaSet
from splitway.gateway.hop.events import ATTEMPT, AttemptEnded, Subscriber
from splitway.gateway.hop.turn import Attempt, HopAnswer, Turn, read_timings
from splitway.gateway.hop.verdict import Blame, Verdict, check_answer, judge_error, judge_reply
from splitway.gateway.transport.transport import Transport
from splitway.names import ATTEMPT_HEADER, TIMEOUT_HEADER
from splitway.telemetry.outcome import CANCELLED, OK
from splitway.telemetry.trace import TRACEPARENT, Span
from splitway.wire.deadline import Deadline
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, parse_response

_LATE_S = 0.25
"""A timer that is late by so much says that the gateway stood still."""


@dataclass(frozen=True, eq=False)
class AttemptMaker:
    """Calls replicas of one stage."""

    replicas: ReplicaSet
    """All of the stage; they say what is slow for it."""
    transport: Transport
    timeout_s: float
    """The most that one attempt may take."""
    on_event: Subscriber
    """Told of every attempt's end."""

    async def __call__(self, turn: Turn, attempt: Attempt) -> HopAnswer | Verdict:
        """Make one call and settle the permit for it."""
        started_s, replica = time.perf_counter(), attempt.replica
        outcome, received_bytes = CANCELLED, 0
        span = turn.span.child(ATTEMPT, "client")
        if span.recorded:
            span.attributes |= {"stage": self.replicas.name, "model": attempt.model.name}
            span.attributes |= {"replica": replica.url, "replica_number": replica.number}
            span.attributes |= {"number": attempt.number, "is_hedge": attempt.is_hedge, "because": attempt.because}
        replica.in_flight += 1
        try:
            end = await self._call(turn, attempt, span)
            seconds = time.perf_counter() - started_s
            if isinstance(end, Verdict):
                outcome = end.error.code
                self._settle(attempt, end, seconds, on_trial=turn.on_trial)
            else:
                outcome, received_bytes = OK, end.received_bytes
                self._settle_success(attempt, seconds, on_trial=turn.on_trial)
            return end
        except BaseException as error:
            attempt.permit.released()
            if isinstance(error, asyncio.CancelledError) and not turn.on_trial:
                replica.takes_at_least(time.perf_counter() - started_s)
            raise
        finally:
            replica.in_flight -= 1
            seconds = time.perf_counter() - started_s
            replica.outcomes[outcome] += 1
            span.end(outcome)
            event = AttemptEnded(
                self.replicas.name,
                replica.url,
                outcome,
                seconds,
                attempt.is_hedge,
                attempt.because,
                len(turn.body),
                received_bytes,
                turn.model,
                turn.started_s,
                started_s,
                attempt.number,
                replica.number,
            )
            turn.context.way.append(event)
            self.on_event(event)

    def _settle_success(self, attempt: Attempt, seconds: float, *, on_trial: bool) -> None:
        replica = attempt.replica
        if replica.misses:
            replica.got_through()
        if on_trial:
            attempt.permit.released()
            return
        attempt.permit.succeeded(slow=self.replicas.is_slow(replica, seconds))
        replica.ended(failed=False)
        replica.answered_in(min(seconds, self.timeout_s))

    def _settle(self, attempt: Attempt, verdict: Verdict, seconds: float, *, on_trial: bool) -> None:
        replica, permit = attempt.replica, attempt.permit
        if verdict.blame is Blame.NONE or (on_trial and verdict.blame is not Blame.CONNECTION):
            permit.released()
        else:
            replica.ended(failed=True)
            if verdict.blame is Blame.SLOW:
                permit.succeeded(slow=True)
            else:
                permit.failed(connection_error=verdict.blame is Blame.CONNECTION)
        if isinstance(verdict.error, DeadlineExceeded) and not on_trial:
            replica.takes_at_least(min(seconds, self.timeout_s))
        if isinstance(verdict.error, Unreachable):
            replica.missed(verdict.error.in_full)

    async def _call(self, turn: Turn, attempt: Attempt, span: Span) -> HopAnswer | Verdict:
        timeout_s = min(turn.context.deadline.remaining_s, self.timeout_s)
        limit = Deadline.after(timeout_s)
        headers = {**turn.headers, TIMEOUT_HEADER: limit.header(), ATTEMPT_HEADER: str(attempt.number)}
        if span.exported:
            headers[TRACEPARENT] = span.context.header
        model = attempt.model
        url = f"{attempt.replica.url}/v2/models/{model.name}/versions/{model.version}/infer"
        try:
            reply = await self.transport.call(
                model.name,
                "POST",
                url,
                timeout_s=timeout_s,
                headers=headers,
                body=turn.body,
                service=self.replicas.name,
            )
            if reply.status != 200:
                had_time = timeout_s >= self.timeout_s
                fresh = self.replicas.role == "extractor"  # what a later stage is sent is not the caller's doing
                return judge_reply(model.name, reply, takes_callers_input=fresh, was_given_time=had_time)
            response = parse_response(reply.body, reply.headers.get(HEADER_LENGTH))
            check_answer(model, turn.request.inputs[0].rows, response)
            classes = _read_classes(turn, model, response.outputs[0]) if turn.top_k else ()
        except (InvalidInput, TooLarge) as error:  # the stage's answer is, not what the caller sent
            what = f"{model.name} sent an unreadable answer"
            nonsense = BadStageAnswer(what, stage=model.name, private=error.detail)
            return self._judge(nonsense, turn, timeout_s, limit)
        except SplitwayError as error:
            return self._judge(error, turn, timeout_s, limit)
        timings = read_timings(reply.headers.get("server-timing", ""), time.perf_counter() - turn.started_s)
        return HopAnswer(model, response, timings, turn.attempts, len(reply.body), classes)

    def _judge(self, error: SplitwayError, turn: Turn, timeout_s: float, limit: Deadline) -> Verdict:
        """Judge a call without a reply. One that ends long after its limit waited for this process, not for a stage."""
        had_time = timeout_s >= self.timeout_s and limit.remaining_s > -_LATE_S
        return judge_error(error, time_is_up=turn.context.deadline.expired, was_given_time=had_time)


def _read_classes(turn: Turn, model: ServedModel, tensor: Tensor) -> Sequence[Prediction]:
    """A head's classes: as many as were asked for at most, of a multi-label head that was asked for all, all it has.

    Raises BadStageAnswer for anything else.
    """
    has_more = model.threshold is not None and turn.request.outputs[0].all_labels
    return read_predictions(model.name, tensor, most_classes(model.outputs) if has_more else turn.top_k)
