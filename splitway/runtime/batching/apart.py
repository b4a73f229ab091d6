"""The members of a batch on which the model failed, each answered or refused on its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitway.errors import EngineFailed, SplitwayError, first_line
from splitway.runtime.arrays import Arrays
from splitway.runtime.batching.answers import finite_rows
from splitway.runtime.batching.batch import Member
from splitway.runtime.batching.unfit import Unfit, explain

_log = logging.getLogger(__name__)
Outputs = dict[str, NDArray[Any]]
_Infer = Callable[[Arrays], Outputs]
_LATE = "the model had failed on its batch and could be run again for it"


class MemberInputs(NamedTuple):
    """A member, and the inputs that were made for it."""

    member: Member
    inputs: Arrays


class Some(NamedTuple):
    """The members that could be answered, all their rows in order, and why the others could not."""

    members: list[Member]
    outputs: Outputs
    refused: list[tuple[Member, Exception]]


def answer_apart(parts: Sequence[MemberInputs], failure: Exception, infer: _Infer) -> Some:
    """Answer those members of a failed batch that can be answered.

    Args:
        parts: the batch.
        failure: what running it at once raised.
        infer: runs the model.
    """
    if isinstance(failure, Unfit) and failure.outputs is not None:
        return _by_rows(parts, failure.outputs, infer)
    if len(parts) == 1:
        return Some([], {}, [(parts[0].member, _told(parts[0], failure, infer))])
    members: list[Member] = []
    answers: list[Outputs] = []
    refused: list[tuple[Member, Exception]] = []
    for part in parts:
        if part.member.future.done():
            continue
        try:
            part.member.deadline.check(_LATE)
            outputs = infer(part.inputs)
            check_rows(outputs, part.member.rows)
        except Exception as error:
            refused.append((part.member, _told(part, error, infer)))
        else:
            members.append(part.member)
            answers.append(outputs)
    return Some(members, _joined(answers), refused)


def check_rows(outputs: Arrays, rows: int) -> None:
    """Raise EngineFailed unless every tensor has so many rows."""
    for name, array in outputs.items():
        if len(array) != rows:
            raise EngineFailed(f"the model was given {rows} rows and gave {len(array)} of {name!r}")


def _by_rows(parts: Sequence[MemberInputs], outputs: Outputs, infer: _Infer) -> Some:
    """Rows don't depend on each other: those that are finite are answers, whatever else was in the batch."""
    finite = finite_rows(outputs)
    members: list[Member] = []
    answers: list[Outputs] = []
    refused: list[tuple[Member, Exception]] = []
    end = 0
    for part in parts:
        start, end = end, end + part.member.rows
        share = {name: array[start:end] for name, array in outputs.items()}
        if finite[start:end].all():
            members.append(part.member)
            answers.append(share)
        else:
            refused.append((part.member, _told(part, Unfit(outputs=share), infer)))
    return Some(members, _joined(answers), refused)


def _told(part: MemberInputs, error: Exception, infer: _Infer) -> SplitwayError:
    """The error for a member that fails on its own."""
    if isinstance(error, Unfit):
        return explain(error, part.inputs, lambda inputs: _fails(part.member, inputs, infer))
    if isinstance(error, SplitwayError):
        return error
    _log.error("the model failed", exc_info=error)
    return EngineFailed("the model failed", private=f"{type(error).__name__}: {first_line(error)}")


def _fails(member: Member, inputs: Arrays, infer: _Infer) -> bool:
    """Whether the model fails on a part of a member's inputs; no longer looked at when the caller has gone."""
    if member.deadline.expired or member.future.done():
        return False
    try:
        infer(inputs)
    except Exception:
        return True
    return False


def _joined(answers: Sequence[Outputs]) -> Outputs:
    if not answers:
        return {}
    return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}
