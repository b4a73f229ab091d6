"""A caller's request to the pipeline, the same as one release is to answer it, and its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from splitway.errors import InvalidInput, SplitwayError, Unavailable
from splitway.gateway.fleet.router import Pins, Router, Want
from splitway.gateway.flow.feature_cache import CacheResult
from splitway.gateway.hop.turn import HopAnswer, HopTimings
from splitway.gateway.paths import INFER
from splitway.gateway.rollout.rollout import Choice
from splitway.names import ATTEMPT_HEADER, EXTRACTOR, IMAGE, PROBABILITIES, RELEASE_HEADER
from splitway.wire.context import CallContext
from splitway.wire.messages import ALL_LABELS, CLASSIFICATION, RequestedOutput
from splitway.wire.tensor import Tensor, TensorSpec

_NONE: Mapping[str, SplitwayError] = MappingProxyType({})


class Request(NamedTuple):
    """A caller's request to the pipeline; `as_release` fills in what depends on its release."""

    inputs: tuple[Tensor, ...]
    """For the extractor; all of as many rows."""
    heads: tuple[str, ...]
    """By name; until a release is chosen, none means the default, and `*` all that give classes."""
    context: CallContext
    id: str | None = None
    outputs: tuple[RequestedOutput, ...] = ()
    """What is asked of each head; nothing means all that it gives."""
    top_k: int = 0
    """How many classes are asked of each head, so that others cannot serve; 0 where tensors are."""
    check_fit: Callable[[tuple[str, ...], Pins | None], None] = lambda *_: None
    """Raises RequestError where a release's versions of the heads, or of what leads there, do not suit."""
    cost: int = 1
    """What the caller is charged when the work is about to begin."""
    choice: Choice = Choice()
    """The release whose versions alone may be called."""
    refused: Mapping[str, SplitwayError] = _NONE
    """Heads that need not be asked, and why."""
    in_background: bool = False
    """No caller waits for it: it uses no kept features and is not done again."""

    @property
    def want(self) -> Want:
        return Want(frozenset(self.heads), self.choice.pins)

    @property
    def rows(self) -> int:
        return self.inputs[0].rows


class AskedClasses(NamedTuple):
    """How many classes a caller wants of each head."""

    top_k: int
    all_labels: bool = False
    """Whether a multi-label head gives every label that reaches its threshold, in place of `top_k` at most."""


def request_for_classes(
    picture: bytes, heads: tuple[str, ...], asked: AskedClasses, context: CallContext, id_: str, cost: int
) -> Request:
    """The best classes of one encoded picture, as each head sees them."""
    image = Tensor.of_bytes(IMAGE, [picture])
    return Request((image,), heads, context, id_, best_classes(*asked), asked.top_k, cost=cost)


@cache
def best_classes(top_k: int, all_labels: bool) -> tuple[RequestedOutput, ...]:
    """The outputs to ask a head for, where its best classes are wanted."""
    flag = {ALL_LABELS: True} if all_labels else {}
    return (RequestedOutput(PROBABILITIES, {CLASSIFICATION: top_k, **flag}),)


def as_release(request: Request, choice: Choice, router: Router) -> Request:
    """The request as this release is to answer it. Raises RequestError if it asks what cannot be."""
    pins = choice.pins
    heads = router.named(request.heads, pins)
    refused: dict[str, SplitwayError] = {}
    if request.top_k:
        _check_takes_pictures(router, heads, pins)
        refused = {name: error for name in heads if (error := _gives_no_classes(router, name, pins))}
        if refused and len(refused) == len(heads):
            raise refused[heads[0]]
    if not heads:
        missing = "; ".join(router.why_not_ready(pins).values()) or "there is none"
        raise Unavailable(f"no head that gives classes is ready: {missing}", retry_after_s=1)
    request.check_fit(heads, pins)
    left = tuple(name for name in heads if name not in refused)
    return request._replace(heads=left, choice=choice, refused=refused)


def _check_takes_pictures(router: Router, heads: tuple[str, ...], pins: Pins | None) -> None:
    extractor = router.served_extractor(Want(frozenset(heads), pins))
    if extractor is not None and not extractor.takes_pictures:
        takes = in_words(extractor.inputs)
        raise InvalidInput(f"this pipeline accepts {takes} and no picture: send them to {INFER}", stage=EXTRACTOR)


def _gives_no_classes(router: Router, head: str, pins: Pins | None) -> SplitwayError | None:
    model = router.served_head(head, pins)
    if model is None or model.gives_classes:
        return None
    what = f"head {head!r} gives no {PROBABILITIES} but {in_words(model.outputs)}"
    return InvalidInput(f"{what}: ask {INFER} with parameter head", stage=head)


def in_words(specs: tuple[TensorSpec, ...]) -> str:
    """The tensors' names, datatypes and shapes."""
    return ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in specs)


@dataclass
class Result:
    """The outcome of a request, and the release that it is of."""

    choice: Choice
    before: Mapping[str, HopAnswer]
    """The answers of the extractor and the bodies, in order; the heads were given the last one's features."""
    cache: CacheResult | None
    heads: Mapping[str, HopAnswer]
    failures: dict[str, SplitwayError]
    """Heads that gave no answer, and why."""

    @property
    def hops(self) -> dict[str, HopAnswer]:
        """Every stage's answer; those of the heads lie beside each other in time."""
        return {**self.before, **self.heads}

    @property
    def feature_space(self) -> str:
        """The space of the features that the heads were given."""
        return str([*self.before.values()][-1].model.gives)

    @property
    def release(self) -> str | None:
        return None if self.choice.pins is None else self.choice.pins.release

    @property
    def longest(self) -> list[HopTimings]:
        """The hops that the caller waited for, one after the other."""
        last = max((hop.timings for hop in self.heads.values()), key=lambda timings: timings.total)
        return [*(hop.timings for hop in self.before.values()), last]

    @property
    def headers(self) -> dict[str, str]:
        """Headers beside the answer: attempts of the stage that needed most, release, how it met the cache."""
        headers = {ATTEMPT_HEADER: str(max(hop.attempts for hop in self.hops.values()))}
        if self.release is not None:
            headers[RELEASE_HEADER] = self.release
        if self.cache is not None:
            headers["cache-status"] = self.cache.header
        return headers
