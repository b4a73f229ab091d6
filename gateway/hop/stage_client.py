"""One hop: from an inference request to a stage's checked answer.

Nested calls of one shape, one concern each: the retries, the hedge, the choice of a replica, the attempt with its
breaker's permit. The order is fixed: total deadline, retry with budget, replica, breaker, limit of the attempt,
transport.
"""

from __future__ import annotations

import random
import time
from collections.abc import Coroutine
from typing import Any

from splitway.errors import DeadlineExceeded, FeatureSpaceMismatch, Unavailable, Unreachable
from splitway.gateway.callers.caller import caller_of, pseudonym
from splitway.gateway.fleet.router import NoChain, Target
from splitway.gateway.hop.attempt import AttemptMaker
from splitway.gateway.hop.events import HopEnded
from splitway.gateway.hop.turn import Attempt, HopAnswer, Turn
from splitway.gateway.hop.verdict import Blame, Verdict
from splitway.gateway.resilience.budget import RetryBudget
from splitway.gateway.resilience.hedge import HedgeDelay, hedged
from splitway.gateway.resilience.retry import MOST_ATTEMPTS, AttemptFailed, with_retries
from splitway.gateway.resilience.suspects import Suspects, digest_of
from splitway.gateway.transport.transport import CutOff
from splitway.names import CALLER_HEADER, REQUEST_ID_HEADER
from splitway.telemetry.outcome import OK
from splitway.telemetry.trace import TRACEPARENT, TRACESTATE, outcome_name
from splitway.wire.v2_json import HEADER_LENGTH, gather_request

_MOST_LOST = 2
"""Connections that may be lost with one request."""
FORWARDED_HEADERS = (TRACEPARENT, TRACESTATE, REQUEST_ID_HEADER)


class NotCalled(Unavailable):
    """The breakers let no call through, so that no replica was asked."""


class StageClient:
    """Calls one stage.

    Args:
        attempt: makes one call to one of its replicas.
        budget: what pays for its retries and hedges.
        hedge: after how long a second replica is asked too; None for never.
    """

    def __init__(self, attempt: AttemptMaker, budget: RetryBudget, hedge: HedgeDelay | None) -> None:
        self.replicas = attempt.replicas
        self.name = self.replicas.name
        self.budget = budget
        self.suspects = Suspects(time.monotonic)
        """Requests that get one attempt alone."""
        self._attempt = attempt
        self._on_event = attempt.on_event
        self._hedge = hedge

    async def infer(self, turn: Turn) -> HopAnswer:
        """Run the stage once, in as many attempts as it takes, the time allows and the budget pays for.

        Raises:
            NoChain: the replicas that could have been asked have moved on.
            SplitwayError: with `stage` set; what the stage refused keeps the stage's own words.
        """
        context = turn.context
        turn.body, header_length = gather_request(turn.request)
        turn.headers = {name: context.headers[name] for name in FORWARDED_HEADERS if name in context.headers} | {
            HEADER_LENGTH: header_length,
            "content-type": "application/octet-stream",
            "accept-encoding": "identity",
        }
        if caller := caller_of(context.scope):
            turn.headers[CALLER_HEADER] = pseudonym(caller)
        if not turn.on_trial:
            self.budget.first_attempt()
        with context.span.child(turn.model) as turn.span:
            if turn.span.recorded:
                turn.span.attributes["stage"] = turn.model
            return await self._follow(turn)

    async def _follow(self, turn: Turn) -> HopAnswer:
        """Run all attempts of one turn, and tell of its end."""
        outcome = OK
        try:
            return await with_retries(
                lambda number: self._with_hedge(turn) if number == 1 else self._on_a_replica(turn),
                1 if turn.on_trial else MOST_ATTEMPTS,
                turn.context.deadline,
                pay=lambda: self._pay(turn),
                chance=random.random,
            )
        except BaseException as error:
            outcome = outcome_name(error)
            raise
        finally:
            seconds, role = time.perf_counter() - turn.started_s, self.replicas.role
            of_turn = (turn.attempts, turn.model, role, turn.started_s, turn.takes)
            event = HopEnded(self.name, outcome, seconds, *of_turn)
            turn.context.way.append(event)
            self._on_event(event)

    def _pay(self, turn: Turn) -> bool:
        if turn.paid + 1 >= MOST_ATTEMPTS:
            return False
        self.budget.raise_cap(max((replica.in_flight for replica in self.replicas.replicas), default=0))
        if not self.budget.spend():
            return False
        turn.paid += 1
        return True

    async def _with_hedge(self, turn: Turn) -> HopAnswer:
        """Run the first attempt; if it takes unusually long, another replica is asked too."""
        delay_s = None if self._hedge is None or turn.on_trial else self._hedge.seconds
        if delay_s is None or delay_s >= turn.context.deadline.remaining_s or await self._is_suspect(turn):
            return await self._on_a_replica(turn)

        def second() -> Coroutine[Any, Any, HopAnswer] | None:
            if not self.replicas.has_other(turn.tried, turn.target()) or not self._pay(turn):
                return None
            return self._on_a_replica(turn, is_hedge=True)

        return await hedged(self._on_a_replica(turn), second, delay_s)

    async def _on_a_replica(self, turn: Turn, *, is_hedge: bool = False) -> HopAnswer:
        """Choose a replica; while the call provably does nothing, each other one gets its turn.

        That is so where it never arrives, and where the replica no longer serves the version that was to be called.
        """
        while True:
            if turn.context.deadline.expired:
                error = DeadlineExceeded(f"the time was up before {turn.model} answered", stage=turn.model)
                raise AttemptFailed(error, may_retry=False)
            target = turn.target()
            choice = self.replicas.choose(turn.tried, target)
            if choice is None:
                raise AttemptFailed(self._nobody_there(turn.model, target), may_retry=False)
            replica, permit = choice
            turn.tried.add(replica.url)
            turn.attempts += 1
            attempt = Attempt(replica, permit, target[replica.url], turn.attempts, is_hedge, turn.last_failure)
            started_s = time.perf_counter()
            try:
                end = await self._attempt(turn, attempt)
            finally:
                if self._hedge is not None and not turn.on_trial:
                    self._hedge.observe(time.perf_counter() - started_s)
            if not isinstance(end, Verdict):
                return end
            turn.last_failure = end.error.code
            if _lost_connection(end) and not await self._may_go_on(turn):
                raise AttemptFailed(end.error, may_retry=False)
            if end.has_moved_on and self._forget(attempt, turn, end):
                continue
            elsewhere = self.replicas.has_other(turn.tried, target)
            if not (isinstance(end.error, Unreachable) and elsewhere):
                raise AttemptFailed(
                    end.error, may_retry=end.may_retry, elsewhere=elsewhere, not_before_s=end.not_before_s
                )

    async def _may_go_on(self, turn: Turn) -> bool:
        """Count a connection that was lost with a request; say whether another replica may be given to it."""
        turn.lost += 1
        if turn.lost >= _MOST_LOST:
            self.suspects.add(await digest_of(turn.model, turn.request.inputs))
            return False
        return not await self._is_suspect(turn)

    async def _is_suspect(self, turn: Turn) -> bool:
        """Whether a request like this has lost two connections within the last minute."""
        if not self.suspects:
            return False
        return await digest_of(turn.model, turn.request.inputs) in self.suspects

    @staticmethod
    def _forget(attempt: Attempt, turn: Turn, end: Verdict) -> bool:
        """Note that a replica no longer serves a version; say whether another is to be asked.

        A head that refuses the features and is the only one is not forgotten: fresh features may suit it.
        """
        if isinstance(end.error, FeatureSpaceMismatch) and len(turn.target()) == 1:
            return False
        attempt.replica.no_longer_serves(attempt.model.offer)
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
