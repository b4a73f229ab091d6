"""The same picture through another release, beside the answer and unseen: what the two say is compared."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from splitway.answers.classes.predictions import reaching
from splitway.errors import FeatureSpaceMismatch, Overloaded, RequestError, SplitwayError
from splitway.gateway.fleet.router import NoChain
from splitway.gateway.flow.request import Request, Result, best_classes
from splitway.gateway.hop.stage_client import NotCalled
from splitway.gateway.hop.turn import HopAnswer
from splitway.gateway.resilience import Chance
from splitway.gateway.rollout.rollout import Choice, ReleaseRole, Rollout
from splitway.wire.context import CallContext
from splitway.wire.deadline import Deadline

_log = logging.getLogger(__name__)
ENDS = ("ok", "failed", "dropped")
"""How a comparison in the background can end."""
_LONGEST_S = 5.0
"""The most that one may take."""


def counts_as_failure(error: BaseException, *, others_answered: bool = False) -> bool:
    """Whether a request's end is held against its release: not that no replica was asked, nor the caller's mistakes,
    unless another release has answered the same request."""
    if isinstance(error, NoChain | NotCalled | Overloaded):
        return False
    return others_answered or isinstance(error, FeatureSpaceMismatch) or not isinstance(error, RequestError)


def _agree(one: HopAnswer, two: HopAnswer, most: int | None) -> bool:
    """Whether two answers have the same class first, or of multi-label heads the same labels, the first `most`."""
    if one.model.threshold is None or two.model.threshold is None:
        return one.predictions[0].index == two.predictions[0].index
    ones, twos = (
        {each.index for each in reaching(answer.predictions, answer.model.threshold)[:most]} for answer in (one, two)
    )
    return ones == twos


@dataclass(eq=False, repr=False)
class Comparer:
    """Runs a bounded number of comparisons in the background."""

    run: Callable[[Request], Awaitable[Result]]
    """Takes a request through the stages."""
    rollout: Rollout
    most: int
    """How many may run at once; beyond that they are dropped."""
    sample: float
    """Share of a canary's requests that are compared with the current release."""
    chance: Chance
    ends: Counter[str] = field(default_factory=Counter)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def running(self) -> int:
        return len(self._running)

    def plan(self, request: Request, seen: Result) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """Return what is to be called when the answer has been sent; None if there is nothing to compare it with."""
        other = self._other(seen)
        return None if other is None else partial(self._begin, request, seen, other)

    async def _begin(self, request: Request, seen: Result, other: Choice) -> None:
        if len(self._running) >= self.most:
            self.ends["dropped"] += 1
            return
        task = asyncio.create_task(self._compare(request, seen, other), name="compare releases")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _other(self, seen: Result) -> Choice | None:
        if seen.choice.role is not ReleaseRole.CANARY:
            return self.rollout.shadow_of(seen.choice, seen.heads)
        return self.rollout.current if seen.choice.counts and self.chance() < self.sample else None

    async def _compare(self, request: Request, seen: Result, other: Choice) -> None:
        """Run the other release. Its end is counted, and goes no further."""
        context = CallContext(Deadline.after(_LONGEST_S), request.context.headers)
        again = request._replace(heads=tuple(seen.heads), context=context, in_background=True)
        again = again._replace(outputs=best_classes(1, all_labels=True), top_k=1, choice=other._replace(on_trial=True))
        try:
            found = await self.run(again)
        except Exception as error:
            if not isinstance(error, SplitwayError):
                _log.exception("comparing releases")
            self._ended(other, [error])
            return
        self._ended(other, list(found.failures.values()))
        trial = other if other.role is ReleaseRole.SHADOW else seen.choice
        for head in found.heads.keys() & seen.heads.keys():
            one, two = seen.heads[head], found.heads[head]
            assert trial.pins is not None, "what is on trial is a release"
            self.rollout.compared(
                trial.pins.release,
                agreed=_agree(one, two, None if request.outputs[0].all_labels else request.top_k),
                drift=abs(one.predictions[0].confidence - two.predictions[0].confidence),
            )

    def _ended(self, other: Choice, errors: Sequence[Exception]) -> None:
        self.ends["failed" if errors else "ok"] += 1
        failed = any(counts_as_failure(error, others_answered=True) for error in errors)
        if other.role is ReleaseRole.SHADOW and (failed or not errors):
            self.rollout.ended(other, failed=failed)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
