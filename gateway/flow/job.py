"""What is asked of the chain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from splitway.gateway.fleet.router import Pins, Want
from splitway.gateway.hop.attempt import CheckAnswer
from splitway.wire.context import CallContext
from splitway.wire.messages import RequestedOutput
from splitway.wire.tensor import Tensor


@dataclass(frozen=True)
class Job:
    """One request, as the chain runs it.

    Args:
        inputs: for the extractor; all of as many rows.
        heads: the heads to run, by name.
        context: how long the caller waits, and what travels on.
        outputs: what is asked of each head; nothing means all that it gives.
        check: judges each head's answer.
        pins: the release whose versions alone may be called.
        on_trial: whether those versions are on trial.
        in_background: no caller waits: no retries, no cached features.
    """

    inputs: tuple[Tensor, ...]
    heads: tuple[str, ...]
    context: CallContext
    outputs: tuple[RequestedOutput, ...] = ()
    request_id: str | None = None
    check: CheckAnswer = lambda *_: None
    pins: Pins | None = None
    on_trial: bool = False
    in_background: bool = False

    @cached_property
    def want(self) -> Want:
        return Want(frozenset(self.heads), self.pins)

    @property
    def rows(self) -> int:
        return self.inputs[0].rows
