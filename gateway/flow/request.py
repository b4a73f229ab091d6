"""What the chain is to do for a request, as one release is to answer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from splitway.errors import InvalidInput, SplitwayError, Unavailable
from splitway.gateway.fleet.inventory import EXTRACTOR, PROBABILITIES
from splitway.gateway.fleet.router import Pins, Router, Want
from splitway.gateway.flow.job import Job
from splitway.gateway.hop.attempt import CheckAnswer
from splitway.gateway.paths import INFER
from splitway.gateway.rollout.rollout import Choice
from splitway.wire.context import CallContext
from splitway.wire.messages import RequestedOutput
from splitway.wire.tensor import Tensor


class Task(NamedTuple):
    """What a caller asks of the pipeline.

    Args:
        inputs: for the extractor.
        heads: by name; none means the default, `*` all that give classes.
        outputs: what is asked of each head.
        check: judges each head's answer.
        classes: whether classes are asked for, so that other heads cannot serve.
        check_fit: raises RequestError where a release's versions of the heads, or of what leads there, do not suit.
        cost: what the caller is charged when the work is about to begin.
    """

    inputs: tuple[Tensor, ...]
    heads: tuple[str, ...]
    context: CallContext
    request_id: str | None = None
    outputs: tuple[RequestedOutput, ...] = ()
    check: CheckAnswer = lambda *_: None
    classes: bool = False
    check_fit: Callable[[tuple[str, ...], Pins | None], None] = lambda *_: None
    cost: int = 1


class Order(NamedTuple):
    """A request as one release is to answer it."""

    choice: Choice
    job: Job
    refused: Mapping[str, SplitwayError]
    """Heads that need not be asked."""
    instead: Order | None = None
    """The same as the current release, where this one is a canary's."""


class Orders:
    """Makes orders.

    Args:
        router: knows what each release's versions take and give.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    def order(self, choice: Choice, task: Task) -> Order:
        """Return what the chain is to do for a request of a release. Raises RequestError if it asks what cannot be."""
        heads = self._router.named(task.heads, choice.pins)
        refused: dict[str, SplitwayError] = {}
        if task.classes:
            self._check_takes_pictures(heads, choice.pins)
            refused = {name: error for name in heads if (error := self._gives_no_classes(name, choice.pins))}
            if refused and len(refused) == len(heads):
                raise refused[heads[0]]
        if not heads:
            missing = "; ".join(self._router.why_not_ready(choice.pins).values()) or "there is none"
            raise Unavailable(f"no head that gives classes is ready: {missing}", retry_after_s=1)
        task.check_fit(heads, choice.pins)
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
        return Order(choice, job, refused)

    def _check_takes_pictures(self, heads: tuple[str, ...], pins: Pins | None) -> None:
        extractor = self._router.served_extractor(Want(frozenset(heads), pins))
        if extractor is not None and not extractor.takes_pictures:
            takes = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in extractor.inputs)
            raise InvalidInput(f"this pipeline accepts {takes} and no picture: send them to {INFER}", stage=EXTRACTOR)

    def _gives_no_classes(self, head: str, pins: Pins | None) -> SplitwayError | None:
        model = self._router.served_head(head, pins)
        if model is None or model.gives_classes:
            return None
        gives = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in model.outputs)
        return InvalidInput(
            f"head {head!r} gives {gives} and no {PROBABILITIES}: use {INFER} with parameter head", stage=head
        )
