"""Requests through the door and the chain, as the release that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.attempt import CheckAnswer
from gateway.cache import FeatureCache
from gateway.chain import Chain, ChainAnswer, Job
from gateway.inventory import IMAGE, PROBABILITIES, ServedModel
from gateway.predictions import Prediction, read_predictions
from gateway.resilience.admission import Admission
from gateway.rollout.background import Best, Classified, Comparer, counts_as_failure
from gateway.rollout.rollout import Choice, Rollout
from gateway.routes import EXTRACTOR, Pins, Router, Want
from gateway.stage_client import StageClient, spent
from splitway.errors import DeadlineExceeded, InvalidInput, Overloaded, SplitwayError, Unavailable
from splitway.wire.deadline import Deadline
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import CLASSIFICATION, InferResponse, RequestedOutput
from splitway.wire.v2_rest import CallContext

INFER = "/v2/models/pipeline/infer"
_COMPARISON_S = 5.0
"""The most that a comparison in the background may take."""


@dataclass(frozen=True)
class Task:
    """What a caller asks of the pipeline.

    Args:
        inputs: for the extractor.
        heads: by name; none means the default, `*` all that give classes.
        outputs: what is asked of each head.
        check: judges each head's answer.
        classes: whether classes are asked for, so that other heads cannot serve.
    """

    inputs: tuple[Tensor, ...]
    heads: tuple[str, ...]
    context: CallContext
    request_id: str | None = None
    outputs: tuple[RequestedOutput, ...] = ()
    check: CheckAnswer = lambda *_: None
    classes: bool = False


class Pipeline:
    """Runs requests through the stages, as many at once as the slowest stage bears.

    Args:
        stages: extractor, bodies and heads, in this order.
        admission: the door.
        rollout: decides on each request's release.
        comparer: runs releases beside each other.
        cache: features of pictures that have been seen.
    """

    def __init__(
        self,
        stages: Sequence[StageClient],
        admission: Admission,
        rollout: Rollout,
        comparer: Comparer,
        cache: FeatureCache | None = None,
    ) -> None:
        self.stages = stages
        self.admission = admission
        self.rollout = rollout
        self.comparer = comparer
        self.cache = cache
        self.router = Router([(stage.name, stage.replicas) for stage in stages])
        self._chain = Chain(stages, self.router, cache)

    async def run(self, task: Task) -> tuple[ChainAnswer, Choice]:
        """Send one request through every stage and the heads that it names.

        Raises:
            Overloaded: at once, before any stage is called, if too many requests are under way.
            SplitwayError: the stage that failed is named in it.
        """
        choice = self.rollout.choose(task.context.headers, lambda pins: self._is_served(pins, task.heads))
        job, refused = self._job(task, choice)
        door = self.admission
        await door.enter(task.context.deadline)
        try:
            answer = await self._chain.run(job)
            waited_s, worked_s = spent(answer.longest)
            door.limit.observe(waited_s=waited_s, worked_s=worked_s, in_flight=door.in_flight)
        except BaseException as error:
            if isinstance(error, Overloaded | DeadlineExceeded):
                door.limit.refused()
            if isinstance(error, Exception):
                self.rollout.ended(choice, failed=counts_as_failure(error))
            raise
        finally:
            door.leave()
        self.rollout.ended(choice, failed=any(map(counts_as_failure, answer.failures.values())))
        answer.failures.update(refused)
        return answer, choice

    def _job(self, task: Task, choice: Choice) -> tuple[Job, dict[str, SplitwayError]]:
        """Return what the chain is to do, and the heads that are refused beforehand."""
        heads = self.router.named(task.heads, choice.pins)
        refused: dict[str, SplitwayError] = {}
        if task.classes:
            self._check_takes_pictures(heads, choice.pins)
            refused = {name: error for name in heads if (error := self._gives_no_classes(name, choice.pins))}
            if refused and len(refused) == len(heads):
                raise refused[heads[0]]
        if not heads:
            missing = "; ".join(self.router.why_not_ready(choice.pins).values()) or "there is none"
            raise Unavailable(f"no head that gives classes is ready: {missing}", retry_after_s=1)
        left = tuple(name for name in heads if name not in refused)
        job = Job(
            task.inputs,
            left,
            task.context,
            task.outputs,
            task.request_id,
            task.check,
            choice.pins,
            on_trial=choice.on_trial,
        )
        return job, refused

    def _check_takes_pictures(self, heads: tuple[str, ...], pins: Pins | None) -> None:
        extractor = self.router.served_extractor(Want(frozenset(heads), pins))
        if extractor is not None and not extractor.takes_pictures:
            takes = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in extractor.inputs)
            raise InvalidInput(f"this pipeline takes no picture but {takes}: send them to {INFER}", stage=EXTRACTOR)

    def _gives_no_classes(self, head: str, pins: Pins | None) -> SplitwayError | None:
        model = self.router.served_head(head, pins)
        if model is None or model.gives_classes:
            return None
        gives = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in model.outputs)
        return InvalidInput(
            f"head {head!r} gives no {PROBABILITIES} but {gives}: ask {INFER} with parameter head", stage=head
        )

    async def classify(
        self, picture: bytes, heads: tuple[str, ...], top_k: int, request_id: str, context: CallContext
    ) -> Classified:
        """Return the best `top_k` classes of one encoded picture, best first, as each head sees them."""

        def check(head: ServedModel, response: InferResponse) -> None:
            read_predictions(head.name, response.outputs[0], top_k)

        answer, choice = await self.run(_classification(picture, heads, top_k, request_id, context, check))
        return Classified(_read_all(answer, top_k), answer, choice)

    def compare(
        self, seen: Classified, picture: bytes, request_id: str, context: CallContext
    ) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Return what is to be started when an answer has been sent: the same picture as another release."""
        heads = tuple(seen.predictions)

        async def again(choice: Choice) -> Best:
            later = CallContext(Deadline.after(_COMPARISON_S), context.headers)
            task = _classification(picture, heads, 1, request_id, later, lambda *_: None)
            job = Job(
                task.inputs,
                heads,
                later,
                task.outputs,
                request_id,
                pins=choice.pins,
                on_trial=True,
                in_background=True,
            )
            answer = await self._chain.run(job)
            return {head: classes[0] for head, classes in _read_all(answer, 1).items()}

        return self.comparer.plan(seen, again)

    def _is_served(self, pins: Pins, heads: tuple[str, ...] = ("*",)) -> bool:
        """Whether a release could answer for all of these heads now."""
        wanted = frozenset(self.router.heads(pins) if heads == ("*",) else self.router.named(heads, pins))
        reached = self.router.coverage(Want(wanted, pins))
        return bool(reached) if heads == ("*",) else reached == wanted

    def why_not_ready(self) -> dict[str, str]:
        """Return, for each stage that keeps the pipeline from being ready, the reason."""
        return self.router.why_not_ready(self.rollout.current.pins)

    def describe_door(self) -> dict[str, Any]:
        """Who is inside, who waits, who was turned away."""
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
                "ready": bool(self.router.coverage(Want(frozenset({name}), pins))),
                "version": None if model is None else model.version,
                "outputs": [] if model is None else [spec.metadata() for spec in model.outputs],
            }
            for name, model in served
        ]

    def describe_releases(self) -> dict[str, Any]:
        """The releases: who gets which, and how they do."""
        background = {"running": self.comparer.running, **self.comparer.ends}
        return {**self.rollout.describe(self._is_served), "background": background}

    def describe(self) -> list[dict[str, Any]]:
        """The stages and their replicas as they are now."""
        return [stage.describe() for stage in self.stages]


def _classification(
    picture: bytes, heads: tuple[str, ...], top_k: int, request_id: str, context: CallContext, check: CheckAnswer
) -> Task:
    wanted = RequestedOutput(PROBABILITIES, {CLASSIFICATION: top_k})
    image = Tensor.of_bytes(IMAGE.name, [picture])
    return Task((image,), heads, context, request_id, (wanted,), check, classes=True)


def _read_all(answer: ChainAnswer, top_k: int) -> dict[str, list[Prediction]]:
    return {name: read_predictions(name, hop.response.outputs[0], top_k) for name, hop in answer.heads.items()}
