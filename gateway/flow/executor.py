"""One request's way: the extractor, the bodies, and every head that was asked for, all on the same features."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from splitway.errors import (
    BadStageAnswer,
    EngineFailed,
    FeatureSpaceMismatch,
    InvalidInput,
    NotFound,
    SplitwayError,
    TooLarge,
)
from splitway.gateway.fleet.inventory import EXTRACTOR, IMAGE, ServedModel
from splitway.gateway.fleet.router import RELEASE_HEADER, NoChain, Router, Target
from splitway.gateway.flow.answer_check import check_answer, check_kept
from splitway.gateway.flow.feature_cache import CacheResult, FeatureCache
from splitway.gateway.flow.job import Job
from splitway.gateway.hop.attempt import CheckAnswer
from splitway.gateway.hop.stage_client import Errand, HopAnswer, StageClient
from splitway.gateway.hop.timings import HopTimings
from splitway.wire.context import ATTEMPT_HEADER
from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.tensor import Tensor

_BINARY = {"binary_data_output": True}
_UNFIT = (NoChain, FeatureSpaceMismatch, InvalidInput, BadStageAnswer, EngineFailed)
"""How a later stage may end on features that it should not have been given."""
_Where = Callable[[], Target]
_Turn = Coroutine[Any, Any, HopAnswer]


class Features(NamedTuple):
    """The heads' input, and how it was computed."""

    tensors: tuple[Tensor, ...]
    space: str
    """What the heads must take."""
    answers: Mapping[str, HopAnswer]
    """The extractor's and the bodies', in order."""
    cache: CacheResult | None


@dataclass(frozen=True)
class ChainAnswer:
    """What the heads said, which version of each stage said it, and how long each took."""

    features: Features
    heads: dict[str, HopAnswer]
    failures: dict[str, SplitwayError] = field(default_factory=dict)
    """Heads that gave no answer, and why."""
    release: str | None = None

    @property
    def feature_space(self) -> str:
        return self.features.space

    @property
    def versions(self) -> dict[str, str]:
        """What ran before the heads."""
        return {name: answer.response.model_version for name, answer in self.features.answers.items()}

    @property
    def timings(self) -> dict[str, HopTimings]:
        """Every hop's; those of the heads lie beside each other in time."""
        return {name: answer.timings for name, answer in {**self.features.answers, **self.heads}.items()}

    @property
    def longest(self) -> dict[str, HopTimings]:
        """The hops that the caller waited for, one after the other."""
        before = {name: answer.timings for name, answer in self.features.answers.items()}
        name, last = max(self.heads.items(), key=lambda head: head[1].timings.total)
        return {**before, name: last.timings}

    @property
    def headers(self) -> dict[str, str]:
        """What goes beside the answer: attempts of the stage that needed most, release, how it met the cache."""
        attempts = max(a.attempts for a in (*self.features.answers.values(), *self.heads.values()))
        headers = {ATTEMPT_HEADER: str(attempts)}
        if self.release is not None:
            headers[RELEASE_HEADER] = self.release
        if self.features.cache is not None:
            headers["cache-status"] = self.features.cache.header
        return headers


class Chain:
    """Runs jobs through the stages; features of one space never reach a model that takes another.

    Args:
        stages: extractor, bodies and heads, in this order.
        router: knows where each may be asked for what.
        cache: features of pictures that have been seen.
    """

    def __init__(self, stages: Sequence[StageClient], router: Router, cache: FeatureCache | None) -> None:
        self._extractor, *self._bodies, self._heads = stages
        self._router = router
        self._cache = cache

    async def run(self, job: Job) -> ChainAnswer:
        """Run the extractor once and all heads on its features.

        Where versions are withdrawn under way, or kept features meet heads that have moved on, it is all done once
        more, from the extractor on; what the first time gave is not lost if the second gives less.

        Raises:
            SplitwayError: of the first head, if no head answered; of a stage before the heads.
        """
        changes = self._router.changes
        try:
            answer = await self._run(job)
        except NoChain as error:
            if error.stage == EXTRACTOR or not self._may_end_otherwise(job, changes):
                raise
            return _told(job, await self._run(job, may_be_kept=False))
        if answer.failures and self._is_worth_another(job, answer, changes):
            with contextlib.suppress(SplitwayError):
                again = await self._run(job, may_be_kept=False)
                answer = again if len(again.heads) > len(answer.heads) else answer
        return _told(job, answer)

    def _is_worth_another(self, job: Job, answer: ChainAnswer, changes: int) -> bool:
        """Whether heads have failed that may answer to features that are extracted now."""
        failures = answer.failures.values()
        if answer.features.cache is CacheResult.HIT and any(isinstance(error, _UNFIT) for error in failures):
            return True
        lost = any(isinstance(error, NoChain | FeatureSpaceMismatch) for error in failures)
        return lost and self._may_end_otherwise(job, changes)

    def _may_end_otherwise(self, job: Job, changes: int) -> bool:
        """Whether something has changed since then, and there is a way to a head now."""
        return not job.in_background and changes != self._router.changes and bool(self._router.coverage(job.want))

    async def _run(self, job: Job, *, may_be_kept: bool = True) -> ChainAnswer:
        if not self._router.first(job.want):
            raise self._why_not(job, job.heads[0])
        if job.rows > 1:
            self._check_rows(job)
        extracted, cache = await self._extract(job, may_be_kept=may_be_kept)
        try:
            features = await self._through_bodies(job, extracted, cache)
        except _UNFIT:
            if cache is not CacheResult.HIT:
                raise
            extracted, cache = await self._extract(job, may_be_kept=False)
            features = await self._through_bodies(job, extracted, cache)
        ends = await self._at_once([self._head(job, name, features) for name in job.heads])
        heads = {name: end for name, end in zip(job.heads, ends, strict=True) if isinstance(end, HopAnswer)}
        failures = {name: end for name, end in zip(job.heads, ends, strict=True) if isinstance(end, SplitwayError)}
        return ChainAnswer(features, heads, failures, None if job.pins is None else job.pins.release)

    def _check_rows(self, job: Job) -> None:
        """Raise TooLarge for more rows than a stage on the way takes, before any has begun."""
        most = self._router.most_rows(job.want)
        if most is not None and job.rows > most[0]:
            raise TooLarge(
                f"the request has {job.rows} rows; {most[1]} accepts at most {most[0]} at once", stage=most[1]
            )

    async def _extract(self, job: Job, *, may_be_kept: bool) -> tuple[HopAnswer, CacheResult | None]:
        """Run the extractor, or take what it gave for the same picture before."""
        request = InferRequest(job.inputs, (), job.request_id, _BINARY)
        errand = self._errand(job, EXTRACTOR, lambda: self._router.first(job.want))

        async def ask() -> HopAnswer:
            return await self._extractor.infer(request, job.context, errand)

        if self._cache is None or job.in_background:
            return await ask(), None
        models = {(model.gives, model.version): model for model in self._router.first(job.want).values()}
        if not _is_one_picture(job) or len(models) != 1:
            return await ask(), self._cache.bypassed()
        hop: HopAnswer | None = None

        async def extract() -> InferResponse:
            nonlocal hop
            hop = await ask()
            return hop.response

        started_s = time.perf_counter()
        (((space, version), model),) = models.items()
        picture, deadline, check = job.inputs[0].elements[0], job.context.deadline, partial(check_kept, model)
        if may_be_kept:
            response, result = await self._cache.features(picture, str(space), version, extract, deadline, check)
        else:
            response, result = await self._cache.features_anew(picture, str(space), version, extract)
        kept = HopAnswer(model, response, HopTimings.of_cache(time.perf_counter() - started_s), 0)
        return hop or kept, result

    async def _through_bodies(self, job: Job, extracted: HopAnswer, cache: CacheResult | None) -> Features:
        answers, answer = {EXTRACTOR: extracted}, extracted
        space = _space(extracted)
        for number, stage in enumerate(self._bodies, 1):
            target = partial(self._router.body, number, space, job.want)
            request = InferRequest(answer.response.outputs, (), job.request_id, _BINARY)
            answer = await stage.infer(request, job.context, self._errand(job, stage.name, target))
            answers[stage.name], space = answer, _space(answer)
        return Features(answer.response.outputs, space, answers, cache)

    async def _head(self, job: Job, name: str, features: Features) -> HopAnswer:
        target = partial(self._router.head, name, features.space, job.pins)
        if not target():
            raise self._why_not(job, name, features.space)
        request = InferRequest(features.tensors, job.outputs, job.request_id, _BINARY)
        return await self._heads.infer(request, job.context, self._errand(job, name, target, job.check))

    @staticmethod
    async def _at_once(heads: Sequence[_Turn]) -> Sequence[HopAnswer | BaseException]:
        """Run all heads in parallel; an error that is no stage's failure ends them all."""
        if len(heads) == 1:  # without a task of its own
            try:
                return [await heads[0]]
            except SplitwayError as error:
                return [error]
        ends = await asyncio.gather(*heads, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, SplitwayError):
                raise end
        return ends

    def _errand(self, job: Job, model: str, target: _Where, check: CheckAnswer = lambda *_: None) -> Errand:
        def makes_sense(called: ServedModel, response: InferResponse) -> None:
            check_answer(called, job.rows, response)
            check(called, response)

        return Errand(model, target, makes_sense, job.on_trial)

    def _why_not(self, job: Job, name: str, space: str | None = None) -> SplitwayError:
        """Why a head cannot be run: unknown name, no version for these features, or no replica."""
        known = self._router.heads(job.pins)
        of_release = "" if job.pins is None else f" in release {job.pins.release!r}"
        if known and name not in known:
            return NotFound(f"there is no head {name[:80]!r}{of_release}, only {', '.join(known)}", stage=name[:80])
        given = self._router.given_to_heads(job.pins) if space is None else [space]
        model = self._router.served_head(name, job.pins)
        if model is not None and given and (space is not None or job.pins is None):
            detail = f"head {name!r} was trained on {model.takes}; the features are from {', '.join(given)}"
            return FeatureSpaceMismatch(detail, stage=name)
        missing = "; ".join(self._router.why_not_ready(job.pins).values())
        detail = missing or f"no replica serves head {name!r}{of_release}"
        if job.pins is not None:
            detail = f"release {job.pins.release!r} cannot be served: {detail}"
        return NoChain(detail, stage=self._missing_stage(job), retry_after_s=1)

    def _missing_stage(self, job: Job) -> str:
        return next(iter(self._router.why_not_ready(job.pins)), self._heads.name)


def _told(job: Job, answer: ChainAnswer) -> ChainAnswer:
    """The answer, or the first head's failure where none has answered."""
    if not answer.heads:
        raise answer.failures[job.heads[0]]
    return answer


def _is_one_picture(job: Job) -> bool:
    return len(job.inputs) == 1 and job.rows == 1 and job.inputs[0].name == IMAGE.name


def _space(answer: HopAnswer) -> str:
    """The space of features that have been checked."""
    return str(answer.model.gives)
