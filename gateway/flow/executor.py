"""One request's way: the extractor, the bodies, and every head that was asked for, all on the same features."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from splitway.errors import (
    BadStageAnswer,
    EngineFailed,
    FeatureSpaceMismatch,
    InvalidInput,
    NotFound,
    SplitwayError,
    TooLarge,
)
from splitway.gateway.fleet.router import NoChain, Pins, Router, Target, Want
from splitway.gateway.flow.feature_cache import CacheResult, FeatureCache
from splitway.gateway.flow.request import Request, Result
from splitway.gateway.hop.events import HopEnded
from splitway.gateway.hop.stage_client import StageClient
from splitway.gateway.hop.turn import HopAnswer, Turn
from splitway.names import EXTRACTOR, IMAGE
from splitway.telemetry.outcome import OK
from splitway.wire.messages import InferRequest, RequestedOutput
from splitway.wire.tensor import Tensor

_BINARY = {"binary_data_output": True}
_UNFIT = (NoChain, FeatureSpaceMismatch, InvalidInput, BadStageAnswer, EngineFailed)
"""How a later stage may end on features that it should not have been given."""
_Where = Callable[[], Target]


class Executor:
    """Runs requests through the stages: extractor, bodies and heads, in this order. Features of one space never reach a
    model that takes another."""

    def __init__(self, stages: Sequence[StageClient], router: Router, cache: FeatureCache | None) -> None:
        self._extractor, *self._bodies, self._heads = stages
        self._router = router
        self.cache = cache

    async def run(self, request: Request) -> Result:
        """Run the extractor once and all heads on its features.

        Where versions are withdrawn under way, or kept features meet heads that have moved on, it is all done once
        more, from the extractor on; what the first time gave is not lost if the second gives less.

        Raises:
            SplitwayError: of the first head, if no head answered; of a stage before the heads.
        """
        changes = self._router.changes
        try:
            result = await self._run(request)
        except NoChain as error:
            if error.stage == EXTRACTOR or not self._may_end_otherwise(request, changes):
                raise
            result = await self._run(request, may_be_kept=False)
        else:
            if result.failures and self._is_worth_another(request, result, changes):
                with contextlib.suppress(SplitwayError):
                    again = await self._run(request, may_be_kept=False)
                    result = again if len(again.heads) > len(result.heads) else result
        if not result.heads:
            raise result.failures[request.heads[0]]
        return result

    def _is_worth_another(self, request: Request, result: Result, changes: int) -> bool:
        """Whether heads have failed that may answer to features that are extracted now."""
        failures = result.failures.values()
        if result.cache is CacheResult.HIT and any(isinstance(error, _UNFIT) for error in failures):
            return True
        lost = any(isinstance(error, NoChain | FeatureSpaceMismatch) for error in failures)
        return lost and self._may_end_otherwise(request, changes)

    def _may_end_otherwise(self, request: Request, changes: int) -> bool:
        """Whether something has changed since then, and there is a way to a head now."""
        has_changed = not request.in_background and changes != self._router.changes
        return has_changed and bool(self._router.coverage(request.want))

    async def _run(self, request: Request, *, may_be_kept: bool = True) -> Result:
        first = partial(self._router.target, 0, None, request.want)
        if not first():
            raise self.why_not(request.choice.pins, request.heads[0])
        if request.rows > 1:
            self._check_rows(request)
        extracted, cache = await self._extract(request, first, may_be_kept=may_be_kept)
        try:
            before = await self._through_bodies(request, extracted)
        except _UNFIT:
            if cache is not CacheResult.HIT:
                raise
            extracted, cache = await self._extract(request, first, may_be_kept=False)
            before = await self._through_bodies(request, extracted)
        given = [*before.values()][-1]
        ends = await _at_once({name: self._head(request, name, given) for name in request.heads})
        heads = {name: end for name, end in ends.items() if isinstance(end, HopAnswer)}
        failures = {name: end for name, end in ends.items() if isinstance(end, SplitwayError)}
        return Result(request.choice, before, cache, heads, failures)

    def _check_rows(self, request: Request) -> None:
        """Raise TooLarge for more rows than a stage on the way takes, before any has begun."""
        rows, most = request.rows, self._router.most_rows(request.want)
        if most is not None and rows > most[0]:
            raise TooLarge(f"the request has {rows} rows; {most[1]} accepts at most {most[0]} at once", stage=most[1])

    async def _extract(
        self, request: Request, target: _Where, *, may_be_kept: bool
    ) -> tuple[HopAnswer, CacheResult | None]:
        """Run the extractor, or take what it gave for the same picture before."""

        async def ask() -> HopAnswer:
            return await self._extractor.infer(_turn(request, EXTRACTOR, target, request.inputs))

        if self.cache is None or request.in_background:
            return await ask(), None
        models = {(model.gives, model.version): model for model in target().values()}
        is_one_picture = len(request.inputs) == 1 and request.rows == 1 and request.inputs[0].name == IMAGE
        if not is_one_picture or len(models) != 1:
            return await ask(), self.cache.count(CacheResult.BYPASS)
        (model,) = models.values()
        picture, deadline = request.inputs[0].elements[0], request.context.deadline
        answer, result = await self.cache.features(picture, model, ask, deadline, may_be_kept=may_be_kept)
        if not answer.attempts:
            request.context.way.append(_spared(answer.timings.total, result))
        return answer, result

    async def _through_bodies(self, request: Request, extracted: HopAnswer) -> dict[str, HopAnswer]:
        """Run the bodies, one after the other; return all answers so far, by stage and in order."""
        answers, answer = {EXTRACTOR: extracted}, extracted
        for number, stage in enumerate(self._bodies, 1):
            target = partial(self._router.target, number, str(answer.model.gives), request.want)
            answer = await stage.infer(
                _turn(request, stage.name, target, answer.response.outputs, (answer.model.name,))
            )
            answers[stage.name] = answer
        return answers

    async def _head(self, request: Request, name: str, given: HopAnswer) -> HopAnswer:
        space = str(given.model.gives)
        want = Want(frozenset((name,)), request.choice.pins)
        target = partial(self._router.target, len(self._bodies) + 1, space, want)
        if not target():
            raise self.why_not(request.choice.pins, name, space)
        turn = _turn(request, name, target, given.response.outputs, (given.model.name,), request.outputs, request.top_k)
        return await self._heads.infer(turn)

    def why_not(self, pins: Pins | None, name: str, space: str | None = None) -> SplitwayError:
        """Why a head cannot be run: there is none of this name, none for these features, or no replica to ask."""
        known = self._router.heads(pins)
        of_release = "" if pins is None else f" in release {pins.release!r}"
        if known and name not in known:
            only = f"{of_release}, only {', '.join(known)}"
            if pins is not None and name in self._router.heads(None):
                return NotFound(
                    f"head {name!r} is loaded, but it is not{only}: a new release has to name it", stage=name
                )
            return NotFound(f"there is no head {name[:80]!r}{only}", stage=name[:80])
        given = self._router.given_to_heads(pins) if space is None else [space]
        model = self._router.served_head(name, pins)
        if model is not None and given and (space is not None or pins is None):
            detail = f"head {name!r} was trained on {model.takes}; the features are from {', '.join(given)}"
            return FeatureSpaceMismatch(detail, stage=name)
        missing = self._router.why_not_ready(pins)
        detail = "; ".join(missing.values()) or f"no replica serves head {name!r}{of_release}"
        if pins is not None:
            detail = f"release {pins.release!r} cannot be served: {detail}"
        return NoChain(detail, stage=next(iter(missing), self._heads.name), retry_after_s=1)


def _turn(
    request: Request,
    model: str,
    target: _Where,
    inputs: tuple[Tensor, ...],
    takes: tuple[str, ...] = (),
    outputs: tuple[RequestedOutput, ...] = (),
    top_k: int = 0,
) -> Turn:
    asked = InferRequest(inputs, outputs, request.id, _BINARY)
    return Turn(model, target, asked, request.context, request.choice.on_trial, top_k, takes)


def _spared(seconds: float, result: CacheResult) -> HopEnded:
    """An extraction that the cache has spared, and that ended just now."""
    return HopEnded(EXTRACTOR, OK, seconds, 0, EXTRACTOR, "extractor", time.perf_counter() - seconds, cache=result)


async def _at_once(heads: Mapping[str, Coroutine[Any, Any, HopAnswer]]) -> Mapping[str, HopAnswer | BaseException]:
    """Run all heads in parallel; an error that is no stage's failure ends them all."""
    if len(heads) == 1:  # without a task of its own
        ((name, head),) = heads.items()
        try:
            return {name: await head}
        except SplitwayError as error:
            return {name: error}
    ends = await asyncio.gather(*heads.values(), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, SplitwayError):
            raise end
    return dict(zip(heads, ends, strict=True))
