"""Requests through the door and the chain, as the release that they belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from splitway.errors import DeadlineExceeded, Overloaded, RequestError, SplitwayError
from splitway.gateway.callers.caller import caller_of
from splitway.gateway.callers.limits import charge
from splitway.gateway.fleet.router import Router
from splitway.gateway.flow.compare import Comparer, counts_as_failure
from splitway.gateway.flow.executor import Executor
from splitway.gateway.flow.feature_cache import CacheResult
from splitway.gateway.flow.request import Request, Result, as_release
from splitway.gateway.hop.stage_client import StageClient
from splitway.gateway.hop.turn import spent
from splitway.gateway.resilience.admission import Admission
from splitway.gateway.resilience.budget import RetryBudget
from splitway.gateway.rollout.rollout import Choice, ReleaseRole, Rollout
from splitway.wire.deadline import Deadline

_NOT_EXTRACTED = (CacheResult.HIT, CacheResult.COLLAPSED)


@dataclass(eq=False, repr=False)
class GatewayPipeline:
    """Runs requests through the stages, as many at once as the slowest stage bears."""

    stages: Sequence[StageClient]
    """Extractor, bodies and heads, in this order."""
    router: Router
    admission: Admission
    rollout: Rollout
    executor: Executor
    comparer: Comparer
    attempt_timeout_s: float
    """Time below which it is the caller's own hurry that ends an attempt."""
    second_chances: RetryBudget
    """Pays for the current release's answers to requests that a canary has failed."""

    async def close(self) -> None:
        """Give up comparisons that are under way, and let go of kept features."""
        await self.comparer.close()
        if self.executor.cache is not None:
            await self.executor.cache.store.close()

    async def run(self, request: Request) -> Result:
        """Send one request through every stage and the heads that it names.

        Raises:
            Overloaded: at once, before any stage is called, if too many requests are under way.
            RateLimited, TooLarge: the caller may not have so much.
            SplitwayError: the stage that failed is named in it.
        """
        context, cost, spent = request.context, request.cost, 1
        caller = caller_of(context.scope)
        with context.span.child("admission"):  # first, for a refusal must cost next to nothing
            await self.admission.enter(context.deadline, caller, cost)
        try:
            usual, canary = self._as_released(request)
            await charge(context.scope, cost)
            spent = cost
            result = await (self._run(usual) if canary is None else self._try(canary, usual))
            if result.cache in _NOT_EXTRACTED:
                spent = 1
            return result
        finally:
            self.admission.leave(caller, cost, spent)

    def _as_released(self, request: Request) -> tuple[Request, Request | None]:
        """The request as its release is to answer it; of a canary's, as the current release and as the canary.

        A canary that does not take what the current release takes has failed the request.
        """
        choice = self.rollout.choose(request.context.headers, partial(self.router.named, request.heads))
        if choice.role is not ReleaseRole.CANARY:
            return as_release(request, choice, self.router), None
        usual = as_release(request, self.rollout.current._replace(counts=choice.counts), self.router)
        half = request.context._replace(deadline=Deadline.after(request.context.deadline.remaining_s / 2))
        tried = request._replace(heads=(*usual.heads, *usual.refused), context=half)
        try:
            canary = as_release(tried, choice, self.router)
        except RequestError:
            canary = None
        if canary is None or canary.refused.keys() != usual.refused.keys():
            self.rollout.ended(choice, failed=True)
            return usual, None
        return usual, canary

    async def _run(self, request: Request) -> Result:
        door, choice = self.admission, request.choice
        patient = request.context.deadline.remaining_s >= self.attempt_timeout_s
        try:
            result = await self.executor.run(request)
        except Exception as error:
            sheds = isinstance(error, Overloaded) or (patient and isinstance(error, DeadlineExceeded))
            if sheds and not choice.on_trial:
                door.limit.refused()
            self._count(choice, [error], patient=patient)
            raise
        if not choice.on_trial:
            waited_s, worked_s = spent(result.longest)
            door.limit.observe(waited_s=waited_s, worked_s=worked_s, in_flight=door.in_flight)
        self._count(choice, result.failures.values(), patient=patient)
        result.failures.update(request.refused)
        return result

    def _count(self, choice: Choice, errors: Collection[Exception], *, patient: bool) -> None:
        """Tell the rollout of a request's end; a caller's own haste is no failure of it."""
        failed = any(
            counts_as_failure(error) and (patient or not isinstance(error, DeadlineExceeded)) for error in errors
        )
        if failed or not errors:
            self.rollout.ended(choice, failed=failed)

    async def _try(self, canary: Request, usual: Request) -> Result:
        """Run a canary; the current release answers what it fails, unless the request asked for the canary."""
        failures: Mapping[str, SplitwayError]
        tried: Result | SplitwayError
        try:
            tried = await self._run(canary)
            failures = {name: e for name, e in tried.failures.items() if name not in canary.refused}
        except SplitwayError as error:
            tried, failures = error, dict.fromkeys(canary.heads, error)
        may_repeat = canary.choice.counts and not usual.context.deadline.expired
        if failures and may_repeat and self.second_chances.spend():
            try:
                result = await self._run(usual)
            except RequestError:
                self.second_chances.give_back()
                raise
            lost = [error for head, error in failures.items() if head in result.heads]
            if any(not counts_as_failure(e) and counts_as_failure(e, others_answered=True) for e in lost):
                self.rollout.ended(canary.choice, failed=True)
            return result
        if not failures:
            self.second_chances.first_attempt()
        if isinstance(tried, SplitwayError):
            raise tried
        return tried

    def why_not_ready(self) -> dict[str, str]:
        """Return, for each stage that keeps the pipeline from being ready, the reason."""
        return self.router.why_not_ready(self.rollout.current.pins)
