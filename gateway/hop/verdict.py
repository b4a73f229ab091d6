"""What one attempt's end means: for the caller, for the retry, and for the replica's breaker.

An answer is also judged here: whether it, or one that was kept, makes sense for the model that was asked.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

import numpy as np
import orjson

from splitway.errors import (
    BadStageAnswer,
    DeadlineExceeded,
    EngineFailed,
    FeatureSpaceMismatch,
    InvalidInput,
    NotFound,
    Overloaded,
    SplitwayError,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
    printable,
)
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.transport.http1 import Reply
from splitway.names import UNFIT_ROW_HEADER
from splitway.wire.messages import FEATURE_SPACE, InferResponse
from splitway.wire.tensor import BYTES

_ROW = re.compile("[0-9]{1,9}", re.ASCII)
_CALLERS_FAULT = (InvalidInput, TooLarge, UnsupportedMediaType)
_ERRORS: dict[int, type[SplitwayError]] = {
    400: InvalidInput,
    404: NotFound,
    408: Unavailable,
    409: FeatureSpaceMismatch,
    413: TooLarge,
    415: UnsupportedMediaType,
    429: Overloaded,
    500: EngineFailed,
    502: BadStageAnswer,
    503: Unavailable,
    504: DeadlineExceeded,
}
_RETRIED_STATUSES = (408, 429, 502, 503, 504)
_MOST_QUOTED = 300
_OF_THE_STAGE: dict[type[SplitwayError], str] = {
    EngineFailed: "could not run its model",
    BadStageAnswer: "got an invalid answer",
    Unavailable: "is not ready",
    Overloaded: "is overloaded",
    DeadlineExceeded: "did not finish in time",
}
"""Messages to callers about a stage's failures; the stage's own message is not passed on."""


class Blame(Enum):
    """What an attempt says of its replica."""

    NONE = auto()
    SLOW = auto()
    FAILED = auto()
    CONNECTION = auto()


class Verdict(NamedTuple):
    """An attempt that was no success."""

    error: SplitwayError
    may_retry: bool
    blame: Blame
    not_before_s: float = 0.0
    """How long the replica asked to be left alone."""
    has_moved_on: bool = False
    """It no longer serves the requested version; nothing was done."""


def judge_reply(stage: str, reply: Reply, *, takes_callers_input: bool, was_given_time: bool = True) -> Verdict:
    """Judge a status other than 200. A stage's refusal keeps its own words; what is unforeseen is nonsense.

    Args:
        stage: the stage that was called.
        reply: what came.
        takes_callers_input: whether what it was sent is the caller's own. Where it is features that an earlier stage
            made of that, a stage that cannot take them is at odds with that one; but one that can, and whose model
            fails on these, says something of what the caller sent.
        was_given_time: whether it had as long as an attempt may take; if not, being late is not its fault.
    """
    kind = _ERRORS.get(reply.status)
    try:
        said = printable(str(orjson.loads(reply.body)["error"])[:_MOST_QUOTED])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        kind, said = None, "with an unknown error format"
    if (blameless := _judge_blameless(stage, reply, kind, said, takes_callers_input)) is not None:
        return blameless
    may_retry = reply.status in _RETRIED_STATUSES
    if kind is None or (kind in _CALLERS_FAULT and not takes_callers_input):
        error: SplitwayError = BadStageAnswer(f"{stage} answered {reply.status}", stage=stage, private=said)
        return Verdict(error, may_retry, Blame.FAILED)
    detail = f"{stage} {_OF_THE_STAGE[kind]}" if kind in _OF_THE_STAGE else said
    wait_s = _retry_after(reply.headers.get("retry-after", ""))
    error = kind(detail, stage=stage, retry_after_s=wait_s, private=said)
    if reply.status < 500 and reply.status != 429:
        foreign = kind is FeatureSpaceMismatch and not takes_callers_input
        return Verdict(error, may_retry, Blame.NONE, has_moved_on=foreign)
    if kind is DeadlineExceeded and not was_given_time:
        return Verdict(error, may_retry=False, blame=Blame.NONE)
    not_before_s = error.retry_after_s or 0.0
    shed = reply.status in (429, 504) or (reply.status == 503 and error.retry_after_s is not None)
    return Verdict(error, may_retry, Blame.SLOW if shed else Blame.FAILED, not_before_s)


def _judge_blameless(
    stage: str, reply: Reply, kind: type[SplitwayError] | None, said: str, takes_callers_input: bool
) -> Verdict | None:
    """Judge what says nothing against the replica, and is not the caller's mistake as the stage words it."""
    if kind is NotFound:
        what = f"{stage} no longer serves the requested version"
        gone = Unavailable(what, stage=stage, retry_after_s=1, private=said)
        return Verdict(gone, may_retry=True, blame=Blame.NONE, has_moved_on=True)
    unfit_row = reply.headers.get(UNFIT_ROW_HEADER, "") if kind is InvalidInput else ""
    if not takes_callers_input and _ROW.fullmatch(unfit_row):
        what = f"{stage} cannot process row {int(unfit_row)} of the input; send other values"
        return Verdict(InvalidInput(what, stage=stage, private=said), may_retry=False, blame=Blame.NONE)
    if reply.status == 408:  # either side may have stood still for a while
        what = f"{stage} did not receive the whole call in time"
        late = Unavailable(what, stage=stage, retry_after_s=1, private=said)
        return Verdict(late, may_retry=True, blame=Blame.NONE)
    return None


def _retry_after(text: str) -> float | None:
    """How many seconds a stage asks to be left alone; None for what is no such number, or of no use."""
    return float(text) if re.fullmatch("[0-9]{1,4}", text) else None


def judge_error(error: SplitwayError, *, time_is_up: bool, was_given_time: bool) -> Verdict:
    """Judge a call that ended without a reply.

    Args:
        error: what the transport, or reading the reply, raised.
        time_is_up: the caller's whole time is over.
        was_given_time: the replica had as long as any attempt gets, so that silence is its own fault.
    """
    if isinstance(error, Overloaded):  # this process is: it has no means for the call
        return Verdict(error, may_retry=False, blame=Blame.NONE)
    if isinstance(error, Unavailable):
        return Verdict(error, not time_is_up, Blame.CONNECTION)
    if isinstance(error, DeadlineExceeded):
        return Verdict(error, not time_is_up, Blame.FAILED if was_given_time else Blame.NONE)
    return Verdict(error, not time_is_up, Blame.FAILED)


def check_answer(model: ServedModel, rows: int, response: InferResponse) -> None:
    """Raise BadStageAnswer unless it is the called version's, of as many rows as were sent, and of the right space."""
    name, tensors = model.name, response.outputs
    if response.model_version != model.version:
        said = f"as {response.model_version!r:.80}"
        what = f"{name} was called at version {model.version} and answered with another version"
        raise BadStageAnswer(what, stage=name, private=said)
    if not tensors or any(tensor.rows != rows for tensor in tensors):
        got = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in tensors) or "nothing"
        raise BadStageAnswer(f"{name} received {rows} rows and returned another number", stage=name, private=got)
    if model.gives is None:
        spaces, expected = {response.parameters.get(FEATURE_SPACE, model.takes)}, model.takes
    else:
        spaces, expected = {tensor.parameters.get(FEATURE_SPACE) for tensor in tensors}, model.gives
    if spaces != {expected}:
        said = ", ".join("no feature space" if space is None else repr(space)[:80] for space in spaces)
        what = f"{name} {model.version} is of {expected} and answered with another feature space or none"
        raise BadStageAnswer(what, stage=name, private=said)


def check_kept(model: ServedModel, response: InferResponse) -> None:
    """Look at one row of features that were kept elsewhere, where others may write too.

    Raises:
        BadStageAnswer: `model` cannot have given them: as `check_answer`, or numbers are not finite.
        InvalidInput: the same, of their names, types and shapes.
    """
    check_answer(model, 1, response)
    given = {tensor.name: tensor for tensor in response.outputs}
    if model.outputs and given.keys() != {spec.name for spec in model.outputs}:
        raise BadStageAnswer(f"{model.name} returned other tensors than its metadata names", stage=model.name)
    for spec in model.outputs:
        spec.check(given[spec.name])
    numbers = [tensor.array for tensor in response.outputs if tensor.datatype != BYTES]
    if not all(np.isfinite(array).all() for array in numbers):
        raise BadStageAnswer(f"{model.name} returned NaN or infinity", stage=model.name)
