"""Batches that one thread takes together: shared fairly, run by themselves, told at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from numpy.typing import NDArray

from splitway.errors import EngineFailed
from splitway.runtime.batching.batch import BatchPolicy, BatchResult, Member
from splitway.runtime.batching.batcher import Batcher
from splitway.wire.deadline import Deadline
from tests.splitway.runtime.gated import FOREVER, Arrays, GatedModel, rows, running, submit, until


async def test_batches_that_wait_are_done_together_and_shared_among_the_slots() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(slots=2, batches_at_once=4)) as batcher:
        first = [asyncio.create_task(submit(batcher, rows(0), FOREVER)) for _ in range(2)]
        await until(lambda: len(model.batches) == 2)
        others = [asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in range(1, 7)]
        await until(lambda: batcher.waiting_rows == 6)
        done: list[float] = []
        for task in others:
            task.add_done_callback(lambda t: done.append(t.result().outputs["y"][0]))
        model.gate.set()
        got = await asyncio.gather(*first, *others)
    assert model.batches == [1] * 8  # each by itself, whatever else was taken with it
    assert [result.batch_rows for result in got] == [1] * 8
    assert sorted(done[:3]) in ([2, 4, 6], [8, 10, 12])  # half of the six in one thread, told together


@pytest.mark.parametrize(
    ("policy", "waiting", "rows_taken"),
    [
        (BatchPolicy(), 9, 1),
        (BatchPolicy(batches_at_once=4), 3, 3),
        (BatchPolicy(batches_at_once=4), 9, 4),
        (BatchPolicy(batches_at_once=4, slots=2), 2, 1),
        (BatchPolicy(batches_at_once=4, slots=2), 5, 3),
        (BatchPolicy(max_rows=8), 3, 8),
        (BatchPolicy(max_rows=8, batches_at_once=2), 20, 16),
    ],
)
def test_a_thread_takes_its_share_of_what_waits(policy: BatchPolicy, waiting: int, rows_taken: int) -> None:
    assert policy.rows_to_take(waiting) == rows_taken


async def test_the_wait_for_others_of_the_same_thread_counts_as_queue() -> None:
    now_s = 0.0

    def infer(inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        nonlocal now_s
        gate.wait(10)
        now_s += 0.01  # less than a group may take, however soon the batcher learns it
        return {"y": inputs["x"]}

    gate = threading.Event()
    batcher = Batcher(infer, BatchPolicy(batches_at_once=4), lambda: now_s)
    batcher.start()
    first = asyncio.create_task(submit(batcher, rows(0), Deadline(1e6, lambda: now_s)))
    await until(lambda: bool(batcher._running) and batcher.waiting_rows == 0)
    pair = [asyncio.create_task(submit(batcher, rows(v), Deadline(1e6, lambda: now_s))) for v in (1, 2)]
    await until(lambda: batcher.waiting_rows == 2)
    gate.set()
    got = await asyncio.gather(first, *pair)
    await batcher.close()
    found = [(round(result.queue_s, 6), round(result.compute_s, 6)) for result in got]
    assert found == [(0, 0.01), (0.02, 0.01), (0.02, 0.01)]


async def test_a_model_that_fails_on_one_batch_fails_no_other_that_was_taken_with_it() -> None:
    gate = threading.Event()

    def infer(inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        gate.wait(10)
        if inputs["x"][0] < 0:
            raise RuntimeError("negative")
        return {"y": inputs["x"]}

    async with running(infer, BatchPolicy(batches_at_once=4)) as batcher:
        first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
        await until(lambda: bool(batcher._running) and batcher.waiting_rows == 0)
        tasks = [asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in (1, -2, 3)]
        await until(lambda: batcher.waiting_rows == 3)
        gate.set()
        got = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(each) for each in got] == [BatchResult, BatchResult, EngineFailed, BatchResult]


@pytest.mark.parametrize(
    ("row_s", "left_s", "taken"), [(0.001, 1e6, 4), (0.02, 1e6, 3), (0.5, 1e6, 1), (0.01, 0.025, 2), (0.01, 0.001, 1)]
)
async def test_what_takes_long_is_told_one_by_one(row_s: float, left_s: float, taken: int) -> None:
    """Four wait and may be taken together, but not if the first would then wait too long for the last."""
    batcher = Batcher(lambda inputs, _: {"y": inputs["x"]}, BatchPolicy(batches_at_once=4), lambda: 0.0)
    batcher._row_s = row_s
    batcher._waiting.extend(Member(lambda: rows(1), 1, Deadline(left_s, lambda: 0.0), 0.0) for _ in range(4))
    batcher.waiting_rows = 4
    found: list[Member] = []
    batcher._take(found)
    assert (len(found), batcher.waiting_rows) == (taken, 4 - taken)


async def test_a_burst_after_a_quiet_time_is_not_alone() -> None:
    model = GatedModel()
    model.gate.set()
    async with running(model, BatchPolicy(batches_at_once=4)) as batcher:
        batcher._waiting.extend(Member(lambda: rows(1), 1, FOREVER, 0.0) for _ in range(2))
        batcher.waiting_rows = 2
        batcher._work([], True)
    assert model.was_alone == [False, False]
