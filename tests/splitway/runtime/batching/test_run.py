"""Of a batch on which the model fails, everyone is answered on whose rows it does not."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.errors import DeadlineExceeded, EngineFailed, SplitwayError, UnfitInput
from splitway.manifest import TensorEntry
from splitway.runtime.batching.batch import BatchPolicy, Member
from splitway.runtime.batching.batcher import Batcher
from splitway.runtime.batching.run import Runner
from splitway.runtime.batching.threads import Runs
from splitway.runtime.batching.unfit import Unfit
from splitway.runtime.engines.tested import TestedEngine
from splitway.wire.deadline import Deadline
from tests.splitway.runtime.clock import Clock
from tests.splitway.runtime.fussy import GIVES_NAN, RAISES, FussyEngine
from tests.splitway.runtime.gated import FOREVER, Arrays, rows, until

ENTRIES = (TensorEntry(name="x", datatype="FP32", shape=(-1,)),)


class Batch:
    """A batcher whose first run waits, so that all that comes meanwhile is one batch."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.fussy = FussyEngine()
        self.clock = clock or Clock()
        self._engine = TestedEngine(self.fussy, ENTRIES)
        self.fussy.runs.clear()
        self._let = asyncio.Event()
        self._begun = threading.Event()
        self._loop = asyncio.get_running_loop()
        self.batcher = Batcher(self._infer, BatchPolicy(max_rows=64), self.clock)

    def _infer(self, inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        if not self.fussy.runs and not self._begun.is_set():
            self._begun.set()
            asyncio.run_coroutine_threadsafe(self._let.wait(), self._loop).result(10)
        return self._engine.infer(inputs)

    async def of(self, *members: tuple[Arrays, Deadline], callers: tuple[str, ...] = ()) -> list[Any]:
        """What becomes of these, in one batch."""
        self.batcher.start()
        await until(lambda: not self.batcher._running)
        self._let.clear()
        self._begun.clear()
        self.fussy.runs.clear()
        first = asyncio.create_task(self.batcher.submit(lambda: rows(0), 1, FOREVER))
        await until(self._begun.is_set)
        tasks = [
            asyncio.create_task(self.batcher.submit(partial(dict, inputs), len(inputs["x"]), deadline, None, caller))
            for (inputs, deadline), caller in zip(members, callers or ("",) * len(members), strict=True)
        ]
        await until(lambda: self.batcher.waiting_rows == sum(len(inputs["x"]) for inputs, _ in members))
        self._let.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(first, return_exceptions=True)
        return [end.outputs["y"].tolist() if hasattr(end, "outputs") else end for end in ends]


def _rows_of(error: object) -> tuple[type[object], int]:
    assert isinstance(error, UnfitInput)
    return type(error), error.row


@pytest.mark.parametrize("bad", [RAISES, GIVES_NAN], ids=["raises", "gives NaN"])
async def test_the_good_are_answered_and_the_bad_told_their_own_row(bad: float) -> None:
    batch = Batch()
    ends = await batch.of(*((rows(*values), FOREVER) for values in ((1, 2), (3, bad), (4,), (bad,))))
    assert ends[0] == [2, 4]
    assert _rows_of(ends[1]) == (UnfitInput, 1)
    assert ends[2] == [8]
    assert _rows_of(ends[3]) == (UnfitInput, 0)
    await batch.batcher.close()


async def test_rows_that_are_not_finite_cost_nobody_a_second_run() -> None:
    batch = Batch()
    await batch.of((rows(1), FOREVER), (rows(GIVES_NAN), FOREVER), (rows(3), FOREVER))
    assert batch.fussy.runs[:2] == [1, 3]
    assert len(batch.fussy.runs) == 3  # with the test of the engine itself
    await batch.batcher.close()


async def test_a_member_runs_again_within_its_deadline_only() -> None:
    batch = Batch()
    clock = batch.clock
    infer = batch._engine.infer

    def slow(inputs: Arrays) -> dict[str, NDArray[Any]]:
        clock.pass_(1.0)
        return infer(inputs)

    batch._engine.infer = slow  # type: ignore[method-assign]
    short, long = Deadline.after(2.5, clock), Deadline.after(100, clock)
    ends = await batch.of((rows(RAISES), long), (rows(1), short), (rows(2), long))
    assert isinstance(ends[1], DeadlineExceeded)
    assert ends[2] == [4]
    await batch.batcher.close()


async def test_an_engine_that_is_broken_fails_everyone_and_blames_nobodys_input() -> None:
    batch = Batch()
    batch.fussy.is_broken = True
    ends = await batch.of((rows(1), FOREVER), (rows(2), FOREVER))
    assert [type(end) for end in ends] == [EngineFailed, EngineFailed]
    await batch.batcher.close()


async def test_a_caller_whose_rows_keep_failing_shares_no_batch_until_time_has_passed() -> None:
    batch = Batch()
    for _ in range(3):
        await batch.of((rows(1), FOREVER), (rows(RAISES), FOREVER), callers=("good", "bad"))
    assert batch.batcher.callers_apart == 1
    ends = await batch.of(*[(rows(v), FOREVER) for v in (1, RAISES, 2, 3)], callers=("good", "bad", "good", "other"))
    assert [end for end in ends if not isinstance(end, SplitwayError)] == [[2], [4], [6]]
    assert batch.fussy.runs[:4] == [1, 1, 1, 2]  # the bad one alone, and nobody twice
    batch.clock.pass_(60)
    assert batch.batcher.callers_apart == 0
    await batch.of((rows(1), FOREVER), (rows(5), FOREVER), callers=("good", "bad"))
    assert batch.fussy.runs == [1, 2]
    await batch.batcher.close()


def refused(infer: Callable[[Arrays], Arrays], *members: Member) -> list[Member]:
    """Those that are refused of these, which are run at once."""
    clock = Clock()
    runner = Runner(lambda inputs, _: infer(inputs), 64, clock, Runs(clock), "model", lambda _: 0.0)
    return [member for run in runner(members, alone=True) for member, _ in run.refused]


@pytest.mark.parametrize("sent", [(RAISES,), (1, GIVES_NAN)], ids=["raises", "gives NaN"])
async def test_one_that_fails_counts_against_its_caller_who_hung_up_meanwhile(sent: tuple[float, ...]) -> None:
    members = [Member(partial(dict, rows(value)), 1, FOREVER, 0.0) for value in sent]
    engine = TestedEngine(FussyEngine(), ENTRIES)

    def infer(inputs: Arrays) -> Arrays:
        members[-1].future.cancel()
        return engine.infer(inputs)

    assert refused(infer, *members) == members[-1:]


async def test_one_that_fails_alone_keeps_none_of_its_inputs() -> None:
    """Without the collector: they may be large, and many may fail before it comes."""
    made: list[weakref.ref[NDArray[Any]]] = []

    def prepare() -> Arrays:
        x = np.zeros(1)
        made.append(weakref.ref(x))
        return {"x": x}

    def infer(_: Arrays) -> Arrays:
        raise Unfit(reason="it could not be run")

    gc.disable()
    try:
        assert refused(infer, Member(prepare, 1, FOREVER, 0.0))
        assert made[0]() is None
    finally:
        gc.enable()
