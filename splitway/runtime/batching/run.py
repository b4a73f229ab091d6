"""What one run of the engine does: make every member's inputs, run the model on all of them, give each its rows.

Of a batch on which the model fails, each member is answered or refused on its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from splitway.errors import EngineFailed, SplitwayError, first_line
from splitway.runtime.batching.batch import Infer, Member, Run
from splitway.runtime.batching.threads import Runs
from splitway.runtime.batching.unfit import Unfit, explain, is_finite
from splitway.wire.deadline import Clock
from splitway.wire.tensor import Arrays

_log = logging.getLogger(__name__)
_LATE = "the model had failed on its batch and could be run again for it"
_Part = tuple[Member, Arrays]
"""A member, and the inputs that were made for it."""
_Refused = list[tuple[Member, Exception]]


@dataclass(frozen=True)
class Runner:
    """Runs members in batches; may be called in any thread."""

    infer: Infer
    max_rows: int
    """Of one batch."""
    clock: Clock
    runs: Runs
    name: str
    """The model, as `runs` is told of it."""
    more_s: Callable[[int], float]
    """What a run of so many rows may take beyond the time that any run may."""

    def __call__(self, members: Sequence[Member], *, alone: bool) -> list[Run]:
        """Run all members, as many at once as a batch holds and as may share one."""
        done: list[Run] = []
        batch: list[Member] = []
        for member in members:
            if batch and not self._fits(batch, member):
                done.append(self._run(batch, alone))
                batch = []
            batch.append(member)
        return [*done, self._run(batch, alone)] if batch else done

    def _fits(self, batch: list[Member], member: Member) -> bool:
        rows = sum(each.rows for each in batch) + member.rows
        return rows <= self.max_rows and member.shares and batch[0].shares

    def _run(self, batch: list[Member], alone: bool) -> Run:
        self._begin(sum(member.rows for member in batch))
        try:
            return self._run_batch(batch, alone)
        finally:
            self.runs.end()

    def _begin(self, rows: int) -> None:
        """Say that a run begins, or another one for a batch that has failed: each of them may hang."""
        self.runs.begin(self.name, self.more_s(rows))

    def _run_batch(self, batch: list[Member], alone: bool) -> Run:
        """Make every member's inputs and run the model on those that could be made.

        Whatever goes wrong is told to those that it concerns: inputs that cannot be made to their own member, rows that
        are not finite to those who sent them. If the model fails on all of a batch, it is run again for each member on
        its own, while its deadline lasts.
        """
        began_s, failed = self.clock(), False
        refused: _Refused = []
        parts = _prepared(batch, refused)
        prepared_s = self.clock()
        members = [member for member, _ in parts]
        try:
            outputs = self.infer(_joined([inputs for _, inputs in parts]), alone) if parts else {}
            _check_rows(outputs, sum(member.rows for member in members))
        except Exception as error:
            failed = True
            members, outputs = self._answer_apart(parts, error, alone, refused)
        rows = sum(member.rows for member in members)
        return Run(members, refused, outputs, rows, began_s, prepared_s, self.clock(), failed)

    def _answer_apart(
        self, parts: Sequence[_Part], failure: Exception, alone: bool, refused: _Refused
    ) -> tuple[list[Member], Arrays]:
        """Return the members of a failed batch that can be answered, with all their rows in order.

        Rows don't depend on each other: where the model gave some for all, those that are finite are answers.
        """
        given = failure.outputs if isinstance(failure, Unfit) else None
        if given is None and len(parts) == 1:  # not raised again: it would keep the inputs until the collector comes
            member, inputs = parts[0]
            refused.append((member, _told(failure, inputs, partial(self._fails, member, alone))))
            return [], {}
        answers: list[_Part] = []
        end = 0
        for member, inputs in parts:
            start, end = end, end + member.rows
            if given is None and member.future.done():
                continue
            try:
                if given is None:
                    outputs = self._again(member, inputs, alone)
                else:
                    outputs = _finite({name: array[start:end] for name, array in given.items()})
            except Exception as error:
                refused.append((member, _told(error, inputs, partial(self._fails, member, alone))))
            else:
                answers.append((member, outputs))
        return [member for member, _ in answers], _joined([outputs for _, outputs in answers])

    def _again(self, member: Member, inputs: Arrays, alone: bool) -> Arrays:
        """Run the model for one member."""
        member.deadline.check(_LATE)
        self._begin(member.rows)
        outputs = self.infer(inputs, alone)
        _check_rows(outputs, member.rows)
        return outputs

    def _fails(self, member: Member, alone: bool, inputs: Arrays) -> bool:
        """Whether the model fails on a part of a member's inputs; no longer looked at when the caller has gone."""
        if member.deadline.expired or member.future.done():
            return False
        self._begin(len(next(iter(inputs.values()))))
        try:
            self.infer(inputs, alone)
        except Exception:
            return True
        return False


def _prepared(batch: Sequence[Member], refused: _Refused) -> list[_Part]:
    """Make the inputs of those whose callers have not hung up."""
    parts: list[_Part] = []
    for member in batch:
        if member.future.done():
            continue
        try:
            member.deadline.check("the engine was free")
            inputs = member.prepare()
            _check_rows(inputs, member.rows)
        except Exception as error:  # its own trouble, not the batch's
            refused.append((member, error))
        else:
            parts.append((member, inputs))
    return parts


def _check_rows(outputs: Arrays, rows: int) -> None:
    """Raise EngineFailed unless every tensor has so many rows."""
    for name, array in outputs.items():
        if len(array) != rows:
            raise EngineFailed(f"the model was given {rows} rows and gave {len(array)} of {name!r}")


def _finite(outputs: Arrays) -> Arrays:
    if not is_finite(outputs):
        raise Unfit(outputs=outputs)
    return outputs


def _told(error: Exception, inputs: Arrays, fails: Callable[[Arrays], bool]) -> SplitwayError:
    """The error for a member that fails on its own."""
    if isinstance(error, Unfit):
        return explain(error, inputs, fails)
    if isinstance(error, SplitwayError):
        return error
    _log.error("the model failed", exc_info=error)
    return EngineFailed("the model failed", private=f"{type(error).__name__}: {first_line(error)}")


def _joined(parts: Sequence[Arrays]) -> Arrays:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
