"""The chain: what one stage gives, the next one takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.attempt import ATTEMPT_HEADER, CheckAnswer
from gateway.cache import CacheResult, FeatureCache
from gateway.resilience.admission import Admission
from gateway.stage_client import HopAnswer, HopTimings, StageClient, spent
from splitway.errors import BadStageAnswer, DeadlineExceeded, FeatureSpaceMismatch, InvalidInput, Overloaded
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import CLASSIFICATION, FEATURE_SPACE, InferRequest, InferResponse, RequestedOutput
from splitway.wire.v2_rest import CallContext

_BINARY = {"binary_data_output": True}
_PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Prediction:
    """One class and the probability that the head gives it."""

    label: str
    index: int
    confidence: float


@dataclass(frozen=True)
class ChainAnswer:
    """The last stage's outputs, which version of each stage made them, and how long each took."""

    outputs: tuple[Tensor, ...]
    versions: dict[str, str]
    feature_space: str
    timings: dict[str, HopTimings]
    attempts: int
    """Calls to the stage that needed most."""
    cache: CacheResult | None = None
    """How it met the feature cache, if there is one."""

    @property
    def headers(self) -> dict[str, str]:
        """What goes beside the answer: how many attempts it took, and how it met the cache."""
        cache = {} if self.cache is None else {"cache-status": self.cache.header}
        return {ATTEMPT_HEADER: str(self.attempts), **cache}


class Pipeline:
    """Runs requests through the stages in order, as many at once as the slowest stage bears."""

    def __init__(self, stages: Sequence[StageClient], admission: Admission, cache: FeatureCache | None = None) -> None:
        self.stages = stages
        self.admission = admission
        self.cache = cache

    async def run(
        self,
        image: Tensor,
        outputs: tuple[RequestedOutput, ...],
        request_id: str | None,
        context: CallContext,
        check: CheckAnswer = lambda _: None,
    ) -> ChainAnswer:
        """Send an image tensor through every stage; `outputs` are asked of the last, and `check` judges them.

        Raises:
            Overloaded: at once, before any stage is called, if too many requests are under way.
            SplitwayError: the stage that failed is named in it.
        """
        door = self.admission
        await door.enter(context.deadline)
        try:
            answer = await self._through_all(image, outputs, request_id, context, check)
            waited_s, worked_s = spent(answer.timings)
            door.limit.observe(waited_s=waited_s, worked_s=worked_s, in_flight=door.in_flight)
            return answer
        except (Overloaded, DeadlineExceeded):
            door.limit.refused()
            raise
        finally:
            door.leave()

    async def _through_all(
        self,
        image: Tensor,
        outputs: tuple[RequestedOutput, ...],
        request_id: str | None,
        context: CallContext,
        check: CheckAnswer,
    ) -> ChainAnswer:
        first, cache = await self._features(image, request_id, context)
        try:
            return await self._heads(image, first, outputs, request_id, context, check, cache)
        except FeatureSpaceMismatch:
            if cache is not CacheResult.HIT:
                raise
        first, cache = await self._features(image, request_id, context, may_be_kept=False)  # the stages have moved on
        return await self._heads(image, first, outputs, request_id, context, check, cache)

    async def _heads(
        self,
        image: Tensor,
        first: HopAnswer,
        outputs: tuple[RequestedOutput, ...],
        request_id: str | None,
        context: CallContext,
        check: CheckAnswer,
        cache: CacheResult | None,
    ) -> ChainAnswer:
        """Run what comes after the extractor on its features."""
        answers = {self.stages[0].name: first}
        answer, space = first, _feature_space(self.stages[0].name, first.response.outputs)
        for stage in self.stages[1:]:
            is_last = stage is self.stages[-1]
            request = InferRequest(answer.response.outputs, outputs if is_last else (), request_id, _BINARY)
            last_check = check if is_last else partial(_check_features, stage.name)
            makes_sense = partial(_check_answer, stage.name, image.rows, last_check)
            answers[stage.name] = answer = await stage.infer(request, context, makes_sense)
            if not is_last:
                space = _feature_space(stage.name, answer.response.outputs)
        versions = {name: answer.response.model_version for name, answer in answers.items()}
        timings = {name: answer.timings for name, answer in answers.items()}
        attempts = max(answer.attempts for answer in answers.values())
        return ChainAnswer(answer.response.outputs, versions, space, timings, attempts, cache)

    async def _features(
        self, image: Tensor, request_id: str | None, context: CallContext, *, may_be_kept: bool = True
    ) -> tuple[HopAnswer, CacheResult | None]:
        """Run the extractor, or take what it gave for the same picture before."""
        stage = self.stages[0]
        request = InferRequest((image,), (), request_id, _BINARY)
        makes_sense = partial(_check_answer, stage.name, image.rows, partial(_check_features, stage.name))
        if self.cache is None:
            return await stage.infer(request, context, makes_sense), None
        spaces = {replica.feature_space for replica in stage.replicas.ready}
        if not may_be_kept or image.rows != 1 or len(spaces) != 1 or None in spaces:
            return await stage.infer(request, context, makes_sense), self.cache.bypassed()
        hop: HopAnswer | None = None

        async def extract() -> InferResponse:
            nonlocal hop
            hop = await stage.infer(request, context, makes_sense)
            return hop.response

        started_s = time.perf_counter()
        (space,) = spaces
        response, result = await self.cache.features(image.elements[0], str(space), extract, context.deadline)
        return hop or HopAnswer(response, HopTimings.of_cache(time.perf_counter() - started_s), 0), result

    async def classify(
        self, picture: bytes, top_k: int, request_id: str, context: CallContext
    ) -> tuple[list[Prediction], ChainAnswer]:
        """Return the best `top_k` classes of one encoded picture, best first."""
        wanted = RequestedOutput(_PROBABILITIES, {CLASSIFICATION: top_k})
        head = self.stages[-1].name

        def check(response: InferResponse) -> None:
            _predictions(head, response.outputs[0], top_k)

        answer = await self.run(Tensor.of_bytes("image", [picture]), (wanted,), request_id, context, check)
        return _predictions(head, answer.outputs[0], top_k), answer

    def why_not_ready(self) -> dict[str, str]:
        """Return, for each stage that keeps the pipeline from being ready, the reason."""
        reasons = {stage.name: reason for stage in self.stages if (reason := stage.replicas.why_not_ready())}
        if not reasons:
            spaces = {s.name: {r.feature_space for r in s.replicas.ready} for s in self.stages}
            if len(set().union(*spaces.values())) > 1:
                named = "; ".join(f"{name} has {', '.join(sorted(map(str, found)))}" for name, found in spaces.items())
                reasons[self.stages[-1].name] = f"the stages are of different feature spaces: {named}"
        return reasons

    def describe_door(self) -> dict[str, Any]:
        """Who is inside, who waits, who was turned away."""
        door = self.admission
        return {
            "limit": door.limit.limit,
            "in_flight": door.in_flight,
            "queued": door.queued,
            "turned_away": {reason.value: count for reason, count in door.turned_away.items()},
        }

    def describe(self) -> list[dict[str, Any]]:
        """The stages and their replicas as they are now."""
        return [
            {
                "name": stage.name,
                "ready": bool(stage.replicas.ready),
                "retry_budget": round(stage.budget.tokens, 2),
                "replicas": [
                    {
                        "url": replica.url,
                        "state": replica.state,
                        "reason": replica.reason or None,
                        "version": replica.version,
                        "feature_space": replica.feature_space,
                        "breaker": replica.breaker.state,
                        "breaker_retry_in_s": round(replica.breaker.retry_in_s, 3),
                        "in_flight": replica.in_flight,
                        "attempts": dict(replica.outcomes),
                        "latency_ms": None if replica.latency_s is None else round(replica.latency_s * 1000, 3),
                    }
                    for replica in stage.replicas.replicas
                ],
            }
            for stage in self.stages
        ]


def _check_answer(stage: str, rows: int, check: CheckAnswer, response: InferResponse) -> None:
    """Raise BadStageAnswer unless a stage gave as many rows as it was given, and `check` agrees."""
    tensors = response.outputs
    if not tensors or any(tensor.rows != rows for tensor in tensors):
        got = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in tensors) or "nothing"
        raise BadStageAnswer(f"{stage} was given {rows} rows and gave {got}", stage=stage)
    check(response)


def _check_features(stage: str, response: InferResponse) -> None:
    _feature_space(stage, response.outputs)


def _feature_space(stage: str, tensors: tuple[Tensor, ...]) -> str:
    space = tensors[0].parameters.get(FEATURE_SPACE)
    if not isinstance(space, str):
        raise BadStageAnswer(f"{stage} gave features without their feature space", stage=stage)
    return space


def _predictions(stage: str, tensor: Tensor, top_k: int) -> list[Prediction]:
    """Read 1 to `top_k` elements `probability:index:label`."""
    try:
        found = [bytes(element).decode().split(":", 2) for element in tensor.elements]
        predictions = [Prediction(label, int(index), float(confidence)) for confidence, index, label in found]
    except (InvalidInput, ValueError) as error:
        raise BadStageAnswer(f"{stage} gave classes that cannot be read: {error}", stage=stage) from error
    if not 1 <= len(predictions) <= top_k or not all(0 <= p.confidence <= 1 for p in predictions):
        raise BadStageAnswer(f"{stage} gave {len(predictions)} classes, or confidences outside 0 to 1", stage=stage)
    return predictions
