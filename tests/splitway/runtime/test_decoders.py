"""What waits to be decoded is bounded, and waiting is not counted as work."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref

import numpy as np
import pytest

from splitway.errors import InvalidInput, Overloaded
from splitway.runtime.batching.threads import Runs
from splitway.runtime.decoders import Decoders
from splitway.wire.tensor import Arrays
from tests.splitway.runtime.gated import until, until_given_up


class Gated:
    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = 0

    def __call__(self) -> Arrays:
        self.begun += 1
        assert self.gate.wait(10)
        return {"x": np.zeros(1)}


async def test_beyond_its_bound_it_refuses_and_goes_on_when_there_is_room() -> None:
    decoders, work = Decoders(1, 4, Runs(time.monotonic), "model"), Gated()
    first = asyncio.create_task(decoders.decode(work, 9))  # one that finds nobody is never refused
    await until(lambda: work.begun == 1)
    with pytest.raises(Overloaded, match="9 rows are already waiting to be decoded"):
        await decoders.decode(work, 1)
    work.gate.set()
    await first
    assert decoders.rows == 0
    await asyncio.gather(*(decoders.decode(work, 1) for _ in range(4)))
    assert await decoders.close(10)


async def test_what_its_caller_gave_up_leaves_its_place() -> None:
    decoders, work = Decoders(1, 4, Runs(time.monotonic), "model"), Gated()
    tasks = [asyncio.create_task(decoders.decode(work, 2)) for _ in range(2)]
    await until(lambda: work.begun == 1)
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert decoders.rows == 2
    work.gate.set()
    await tasks[0]
    assert (decoders.rows, work.begun) == (0, 1)
    await decoders.close(10)


async def test_waiting_for_a_thread_is_told_apart_from_its_work() -> None:
    runs = Runs(time.monotonic)
    decoders, work = Decoders(1, 4, runs, "model"), Gated()
    first = asyncio.create_task(decoders.decode(work, 1))
    await until(lambda: work.begun == 1)
    assert [model for model, *_ in runs.under_way] == ["model"]
    second = asyncio.create_task(decoders.decode(lambda: {"x": np.zeros(1)}, 1))
    await until(lambda: decoders.rows == 2)
    work.gate.set()
    one, two = await first, await second
    assert one.ended_s <= two.began_s
    assert two.asked_s < one.ended_s
    assert not runs.under_way
    await decoders.close(10)


async def test_pictures_that_cannot_be_decoded_fail_their_own_request() -> None:
    decoders = Decoders(1, 4, Runs(time.monotonic), "model")

    def broken() -> Arrays:
        raise InvalidInput("no picture")

    with pytest.raises(InvalidInput):
        await decoders.decode(broken, 1)
    assert decoders.rows == 0
    await decoders.close(10)


async def test_what_its_caller_gave_up_is_forgotten_at_once_with_all_that_it_holds() -> None:
    decoders, work = Decoders(1, 4, Runs(time.monotonic), "model"), Gated()
    first = asyncio.create_task(decoders.decode(work, 1))
    await until(lambda: work.begun == 1)
    pictures = Gated()
    is_held = weakref.ref(pictures)
    given_up = asyncio.create_task(until_given_up(decoders.decode(pictures, 1)))
    del pictures
    await until(lambda: decoders.rows == 2)
    given_up.cancel()
    await given_up
    del given_up
    gc.collect()
    assert is_held() is None
    work.gate.set()
    await first
    await decoders.close(10)


async def test_those_who_wait_when_it_is_closed_are_told() -> None:
    decoders, work = Decoders(1, 4, Runs(time.monotonic), "model"), Gated()
    first = asyncio.create_task(decoders.decode(work, 1))
    await until(lambda: work.begun == 1)
    waits = asyncio.create_task(decoders.decode(work, 1))
    await until(lambda: decoders.rows == 2)
    closing = asyncio.create_task(decoders.close(10))
    with pytest.raises(Overloaded, match="the stage is stopping"):
        await waits
    with pytest.raises(Overloaded, match="the stage is stopping"):
        await decoders.decode(work, 1)
    work.gate.set()
    await first
    assert await closing
