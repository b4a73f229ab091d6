"""Requests through the door and the chain, as the release that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from splitway.errors import DeadlineExceeded, Overloaded, RequestError, SplitwayError
from splitway.gateway.callers.caller import caller_of
from splitway.gateway.callers.usage import charge
from splitway.gateway.fleet.inventory import IMAGE, PROBABILITIES, ServedModel
from splitway.gateway.fleet.router import Router, Want
from splitway.gateway.flow.compare import Classified, Comparer, counts_as_failure
from splitway.gateway.flow.executor import Chain, ChainAnswer
from splitway.gateway.flow.feature_cache import CacheResult, FeatureCache
from splitway.gateway.flow.job import Job
from splitway.gateway.flow.request import Order, Orders, Task
from splitway.gateway.hop.attempt import CheckAnswer
from splitway.gateway.hop.stage_client import StageClient
from splitway.gateway.hop.timings import spent
from splitway.gateway.resilience.admission import Admission
from splitway.gateway.resilience.budget import RetryBudget
from splitway.gateway.rollout.rollout import Choice, Part, Rollout
from splitway.wire.context import CallContext
from splitway.wire.deadline import Deadline
from splitway.wire.messages import CLASSIFICATION, InferResponse, RequestedOutput
from splitway.wire.predictions import Prediction, read_predictions
from splitway.wire.tensor import Tensor

_NOT_EXTRACTED = (CacheResult.HIT, CacheResult.COLLAPSED)
_COMPARISON_S = 5.0
"""The most that a comparison in the background may take."""


@dataclass(frozen=True)
class TrialPolicy:
    """Guarantees for callers of a canary."""

    attempt_timeout_s: float
    """Time below which it is the caller's own hurry that ends an attempt."""
    second_chances: RetryBudget
    """Pays for the current release's answers to callers whose canary failed."""


class Pipeline:
    """Runs requests through the stages, as many at once as the slowest stage bears.

    Args:
        stages: extractor, bodies and heads, in this order.
        router: knows where each may be asked for what.
        admission: the door.
        rollout: decides on each request's release.
        comparer: runs releases beside each other.
        trials: guarantees for callers of a canary.
        cache: features of pictures that have been seen.
    """

    def __init__(
        self,
        stages: Sequence[StageClient],
        router: Router,
        admission: Admission,
        rollout: Rollout,
        comparer: Comparer,
        trials: TrialPolicy,
        cache: FeatureCache | None = None,
    ) -> None:
        self.stages = stages
        self.admission = admission
        self.rollout = rollout
        self.comparer = comparer
        self.cache = cache
        self.router = router
        self._trials = trials
        self._orders = Orders(router)
        self._chain = Chain(stages, router, cache)

    async def run(self, task: Task) -> tuple[ChainAnswer, Choice]:
        """Send one request through every stage and the heads that it names.

        Raises:
            Overloaded: at once, before any stage is called, if too many requests are under way.
            RateLimited, TooLarge: the caller may not have so much.
            SplitwayError: the stage that failed is named in it.
        """
        caller, spent = caller_of(task.context.scope), 1
        with task.context.span.child("admission"):  # first, for a refusal must cost next to nothing
            await self.admission.enter(task.context.deadline, caller, task.cost)
        try:
            order = self._order(task)
            await charge(task.context.scope, task.cost)
            spent = task.cost
            answer, choice = await (self._run(order) if order.instead is None else self._try(order, order.instead))
            if answer.features.cache in _NOT_EXTRACTED:
                spent = 1
            return answer, choice
        finally:
            self.admission.leave(caller, task.cost, spent)

    def _order(self, task: Task) -> Order:
        """Decide on a request's release. A canary that does not take what the current release takes has failed it."""
        choice = self.rollout.choose(task.context.headers, partial(self.router.named, task.heads))
        if choice.part is not Part.CANARY:
            return self._orders.order(choice, task)
        usual = self._orders.order(self.rollout.current._replace(counts=choice.counts), task)
        heads = (*usual.job.heads, *usual.refused)
        half = Deadline.after(task.context.deadline.remaining_s / 2)
        try:
            canary = self._orders.order(
                choice, task._replace(heads=heads, context=task.context._replace(deadline=half))
            )
        except RequestError:
            canary = None
        if canary is None or canary.refused.keys() != usual.refused.keys():
            self.rollout.ended(choice, failed=True)
            return usual
        return canary._replace(instead=usual)

    async def _run(self, order: Order) -> tuple[ChainAnswer, Choice]:
        door, choice = self.admission, order.choice
        patient = order.job.context.deadline.remaining_s >= self._trials.attempt_timeout_s
        try:
            answer = await self._chain.run(order.job)
        except Exception as error:
            sheds = isinstance(error, Overloaded) or (patient and isinstance(error, DeadlineExceeded))
            if sheds and not choice.on_trial:
                door.limit.refused()
            self._count(choice, [error], patient=patient)
            raise
        if not choice.on_trial:
            waited_s, worked_s = spent(answer.longest)
            door.limit.observe(waited_s=waited_s, worked_s=worked_s, in_flight=door.in_flight)
        self._count(choice, answer.failures.values(), patient=patient)
        answer.failures.update(order.refused)
        return answer, choice

    def _count(self, choice: Choice, errors: Collection[Exception], *, patient: bool) -> None:
        """Report a request's end to the rollout; a caller's own short time limit does not count as a failure."""
        failed = any(
            counts_as_failure(error) and (patient or not isinstance(error, DeadlineExceeded)) for error in errors
        )
        if failed or not errors:
            self.rollout.ended(choice, failed=failed)

    async def _try(self, canary: Order, usual: Order) -> tuple[ChainAnswer, Choice]:
        """Run a canary; if it fails, the current release answers, unless the caller asked for the canary."""
        failures: Mapping[str, SplitwayError]
        tried: tuple[ChainAnswer, Choice] | SplitwayError
        try:
            tried = await self._run(canary)
            failures = {name: e for name, e in tried[0].failures.items() if name not in canary.refused}
        except SplitwayError as error:
            tried, failures = error, dict.fromkeys(canary.job.heads, error)
        may_repeat = canary.choice.counts and not usual.job.context.deadline.expired
        if failures and may_repeat and self._trials.second_chances.spend():
            try:
                answer, choice = await self._run(usual)
            except RequestError:
                self._trials.second_chances.give_back()
                raise
            lost = [error for head, error in failures.items() if head in answer.heads]
            if any(not counts_as_failure(e) and counts_as_failure(e, others_answered=True) for e in lost):
                self.rollout.ended(canary.choice, failed=True)
            return answer, choice
        if not failures:
            self._trials.second_chances.first_attempt()
        if isinstance(tried, SplitwayError):
            raise tried
        return tried

    async def classify(
        self,
        picture: bytes,
        heads: tuple[str, ...],
        top_k: int,
        request_id: str,
        context: CallContext,
        cost: int = 1,
    ) -> Classified:
        """Return the best `top_k` classes of one encoded picture, best first, as each head sees them."""

        reading = _Reading(top_k)
        task = _classification(picture, heads, top_k, request_id, context, reading.check, cost)
        answer, choice = await self.run(task)
        return Classified(reading.of(answer), answer, choice)

    def compare(
        self, seen: Classified, picture: bytes, request_id: str, context: CallContext
    ) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Return what is to be started when an answer has been sent: the same picture as another release."""
        heads = tuple(seen.predictions)

        async def again(choice: Choice) -> Classified:
            later = CallContext(Deadline.after(_COMPARISON_S), context.headers)
            reading = _Reading(1)
            task = _classification(picture, heads, 1, request_id, later, reading.check)
            job = Job(
                task.inputs,
                heads,
                later,
                task.outputs,
                request_id,
                task.check,
                choice.pins,
                on_trial=True,
                in_background=True,
            )
            answer = await self._chain.run(job)
            return Classified(reading.of(answer), answer, choice)

        return self.comparer.plan(seen, again)

    def why_not_ready(self) -> dict[str, str]:
        """Return, for each stage that keeps the pipeline from being ready, the reason."""
        return self.router.why_not_ready(self.rollout.current.pins)

    def describe_door(self) -> dict[str, Any]:
        """Running, waiting and rejected requests."""
        door = self.admission
        return {
            "limit": door.limit.limit,
            "in_flight": door.in_flight,
            "queued": door.queued,
            "turned_away": {reason.value: count for reason, count in door.turned_away.items()},
        }

    def describe_heads(self) -> list[dict[str, Any]]:
        """The heads, and whether each can be reached now."""
        pins = self.rollout.current.pins
        names = self.router.heads(pins)
        served = [(name, self.router.served_head(name, pins)) for name in names]
        return [
            {
                "name": name,
                "ready": bool(self.router.covered(Want(frozenset({name}), pins))),
                "version": None if model is None else model.version,
                "outputs": [] if model is None else [spec.metadata() for spec in model.outputs],
            }
            for name, model in served
        ]

    def describe_releases(self) -> dict[str, Any]:
        """The releases, their shares and their results."""
        background = {"running": self.comparer.running, **self.comparer.ends}
        return {**self.rollout.describe(), "background": background}

    def describe(self) -> list[dict[str, Any]]:
        """The stages and their replicas as they are now."""
        return [stage.describe() for stage in self.stages]


def _classification(
    picture: bytes,
    heads: tuple[str, ...],
    top_k: int,
    request_id: str,
    context: CallContext,
    check: CheckAnswer,
    cost: int = 1,
) -> Task:
    wanted = RequestedOutput(PROBABILITIES, {CLASSIFICATION: top_k})
    image = Tensor.of_bytes(IMAGE.name, [picture])
    return Task((image,), heads, context, request_id, (wanted,), check, classes=True, cost=cost)


class _Reading:
    """What the heads' answers say, read once: when they come, so that one that makes no sense is asked for again.

    Args:
        top_k: the most classes of each.
    """

    def __init__(self, top_k: int) -> None:
        self._top_k = top_k
        self._read: dict[int, list[Prediction]] = {}
        """By the answer's identity: a head may have been asked twice."""

    def check(self, head: ServedModel, response: InferResponse) -> None:
        """Raise BadStageAnswer for classes that can be none."""
        self._read[id(response)] = read_predictions(head.name, response.outputs[0], self._top_k)

    def of(self, answer: ChainAnswer) -> dict[str, list[Prediction]]:
        """What the answers that counted say, by head."""
        return {name: self._read[id(hop.response)] for name, hop in answer.heads.items()}
