"""A batch answers every member, whatever happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.errors import DeadlineExceeded, EngineFailed, Overloaded
from splitway.runtime.batcher import Batcher, BatchPolicy
from splitway.wire.deadline import Deadline

Arrays = Mapping[str, NDArray[Any]]
FOREVER = Deadline.after(1e6)


class GatedModel:
    """Doubles its input, once it is let; remembers the size of each batch."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[int] = []

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self.batches.append(len(inputs["x"]))
        assert self.gate.wait(10)
        return {"y": inputs["x"] * 2}


def rows(*values: float) -> dict[str, NDArray[np.float32]]:
    return {"x": np.array(values, np.float32)}


@asynccontextmanager
async def running(infer: Callable[[Arrays], dict[str, NDArray[Any]]], policy: BatchPolicy) -> AsyncIterator[Batcher]:
    batcher = Batcher(infer, policy)
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0)


async def test_each_member_gets_its_own_rows() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(max_rows=8)) as batcher:
        first = asyncio.create_task(batcher.submit(rows(1), FOREVER))
        await until(lambda: len(model.batches) == 1)
        others = [asyncio.create_task(batcher.submit(rows(*([v] * v)), FOREVER)) for v in (2, 3)]
        await until(lambda: batcher.waiting_rows == 5)
        model.gate.set()
        got = [(await task).outputs["y"].tolist() for task in (first, *others)]
    assert got == [[2], [4, 4], [6, 6, 6]]
    assert model.batches == [1, 5]


async def test_rows_not_requests_fill_a_batch() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(max_rows=4)) as batcher:
        tasks = [asyncio.create_task(batcher.submit(rows(0), FOREVER))]
        await until(lambda: len(model.batches) == 1)
        tasks += [asyncio.create_task(batcher.submit(rows(*[1] * n), FOREVER)) for n in (3, 2, 6, 1)]
        await until(lambda: batcher.waiting_rows == 12)
        model.gate.set()
        await asyncio.gather(*tasks)
    assert model.batches == [1, 3, 2, 6, 1]


async def test_a_model_that_gives_other_rows_fails_the_batch_with_both_numbers() -> None:
    async with running(lambda inputs: {"y": inputs["x"][:1]}, BatchPolicy()) as batcher:
        with pytest.raises(EngineFailed, match="given 3 rows and gave 1"):
            await batcher.submit(rows(1, 2, 3), FOREVER)


async def test_a_model_error_fails_this_batch_and_not_the_loop() -> None:
    def model(inputs: Arrays) -> dict[str, NDArray[Any]]:
        if inputs["x"][0] < 0:
            raise RuntimeError("negative")
        return {"y": inputs["x"]}

    async with running(model, BatchPolicy()) as batcher:
        with pytest.raises(EngineFailed, match="negative"):
            await batcher.submit(rows(-1), FOREVER)
        assert (await batcher.submit(rows(1), FOREVER)).outputs["y"].tolist() == [1]
        assert batcher.alive


async def test_a_cancelled_member_is_skipped_and_leaves_no_one_hanging() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(max_rows=8)) as batcher:
        first = asyncio.create_task(batcher.submit(rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        members = [asyncio.create_task(batcher.submit(rows(v), FOREVER)) for v in (1, 2, 3, 4)]
        await until(lambda: batcher.waiting_rows == 4)
        members[1].cancel()
        await asyncio.sleep(0)
        model.gate.set()
        got = await asyncio.gather(first, *members, return_exceptions=True)
    assert isinstance(got[2], asyncio.CancelledError)
    assert [r.outputs["y"].tolist() for r in got if not isinstance(r, BaseException)] == [[0], [2], [6], [8]]
    assert model.batches == [1, 3]


async def test_an_expired_member_is_told_so_and_not_run() -> None:
    model = GatedModel()
    now_s = 0.0
    async with running(model, BatchPolicy()) as batcher:
        first = asyncio.create_task(batcher.submit(rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        late = asyncio.create_task(batcher.submit(rows(1), Deadline(1.0, lambda: now_s)))
        await until(lambda: batcher.waiting_rows == 1)
        now_s = 2.0
        model.gate.set()
        with pytest.raises(DeadlineExceeded):
            await late
        await first
    assert model.batches == [1]


async def test_a_full_queue_refuses_at_once() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(queue_rows=2)) as batcher:
        first = asyncio.create_task(batcher.submit(rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        waiting = asyncio.create_task(batcher.submit(rows(1, 2), FOREVER))
        await until(lambda: batcher.waiting_rows == 2)
        with pytest.raises(Overloaded, match="2 rows wait"):
            await batcher.submit(rows(3), FOREVER)
        model.gate.set()
        await asyncio.gather(first, waiting)


async def test_what_cannot_be_done_in_time_is_refused_at_once() -> None:
    """The clock runs a second per row; ten rows wait, and the eleventh has five seconds."""
    model = GatedModel()
    now_s = 0.0

    def clock() -> float:
        return now_s

    def infer(inputs: Arrays) -> dict[str, NDArray[Any]]:
        nonlocal now_s
        now_s += len(inputs["x"]) if not model.batches else 0.0
        return model(inputs)

    batcher = Batcher(infer, BatchPolicy(), clock)
    batcher.start()
    model.gate.set()
    await batcher.submit(rows(*[0] * 100), FOREVER)
    model.gate.clear()
    first = asyncio.create_task(batcher.submit(rows(0), FOREVER))
    await until(lambda: len(model.batches) == 2)
    waiting = asyncio.create_task(batcher.submit(rows(*[0] * 100), FOREVER))
    await until(lambda: batcher.waiting_rows == 100)
    with pytest.raises(DeadlineExceeded, match="100 rows wait already"):
        await batcher.submit(rows(1), Deadline(now_s + 5, clock))
    model.gate.set()
    await asyncio.gather(first, waiting)
    await batcher.close()


async def test_closing_answers_everyone_who_still_waits() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy()) as batcher:
        tasks = [asyncio.create_task(batcher.submit(rows(v), FOREVER)) for v in (1, 2)]
        await until(lambda: len(model.batches) == 1)
        model.gate.set()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(not isinstance(r, asyncio.CancelledError) for r in got)
    assert not batcher.alive


async def test_the_first_waits_for_others_only_as_long_as_it_may() -> None:
    model = GatedModel()
    model.gate.set()
    async with running(model, BatchPolicy(max_rows=3, max_wait_s=60.0)) as batcher:
        await asyncio.gather(*(batcher.submit(rows(v), FOREVER) for v in (1, 2, 3)))
    async with running(model, BatchPolicy(max_rows=3, max_wait_s=0.001)) as batcher:
        await batcher.submit(rows(1), FOREVER)
    assert model.batches == [3, 1]
