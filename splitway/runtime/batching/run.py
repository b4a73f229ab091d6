"""What one run of the engine does: make every member's inputs, run the model on all of them, give each its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.runtime.arrays import Arrays
from splitway.runtime.batching.apart import MemberInputs, answer_apart, check_rows
from splitway.runtime.batching.batch import Infer, Member, Run
from splitway.runtime.batching.runs import Runs
from splitway.wire.deadline import Clock


class Runner:
    """Runs members in batches; may be called in any thread.

    Args:
        infer: runs the model.
        max_rows: of one batch.
        clock: monotonic seconds.
        runs: told of each run's begin and end.
        name: what the model is called there.
        more_s: what a run of so many rows may take beyond the time that any run may.
    """

    def __init__(
        self,
        infer: Infer,
        max_rows: int,
        clock: Clock,
        runs: Runs,
        name: str,
        more_s: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        self._infer = infer
        self._max_rows = max_rows
        self._clock = clock
        self._runs = runs
        self._name = name
        self._more_s = more_s

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
        return rows <= self._max_rows and member.shares and batch[0].shares

    def _run(self, batch: list[Member], alone: bool) -> Run:
        self._runs.begin(self._name, self._more_s(sum(member.rows for member in batch)))
        try:
            return run_batch(batch, self._infer, self._clock, alone=alone, again=self._again)
        finally:
            self._runs.end()

    def _again(self, inputs: Arrays, alone: bool) -> dict[str, NDArray[Any]]:
        """Run the model on a part of a batch that has failed: a batch may take several runs, and one may hang."""
        self._runs.begin(self._name, self._more_s(len(next(iter(inputs.values())))))
        return self._infer(inputs, alone)


def run_batch(batch: Sequence[Member], infer: Infer, clock: Clock, *, alone: bool, again: Infer | None = None) -> Run:
    """Make every member's inputs and run the model on those that could be made; may be called in any thread.

    A member whose caller hung up is left out. Whatever goes wrong is told to those that it concerns: inputs that cannot
    be made to their own member, rows that are not finite to those who sent them. If the model fails on all of a batch,
    it is run again for each member on its own, while its deadline lasts: by `again`, where that is another way.
    """
    began_s = clock()
    parts: list[MemberInputs] = []
    refused: list[tuple[Member, Exception]] = []
    for member in batch:
        if member.future.done():
            continue
        try:
            member.deadline.check("the engine was free")
            inputs = member.prepare()
            check_rows(inputs, member.rows)
        except Exception as error:  # its own trouble, not the batch's
            refused.append((member, error))
        else:
            parts.append(MemberInputs(member, inputs))
    prepared_s = clock()
    rows = sum(part.member.rows for part in parts)
    try:
        outputs = infer(_join(parts), alone) if parts else {}
        check_rows(outputs, rows)
    except Exception as error:
        some = answer_apart(parts, error, lambda inputs: (again or infer)(inputs, alone))
        refused += some.refused
        rows = sum(member.rows for member in some.members)
        return Run(some.members, refused, some.outputs, rows, began_s, prepared_s, clock(), failed=True)
    return Run([part.member for part in parts], refused, outputs, rows, began_s, prepared_s, clock())


def _join(parts: list[MemberInputs]) -> Arrays:
    if len(parts) == 1:
        return parts[0].inputs
    return {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs}
