"""A batch answers every member, whatever happens."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.errors import DeadlineExceeded, EngineFailed, InvalidInput, Overloaded
from splitway.runtime.batching.batch import BatchPolicy, BatchResult
from splitway.runtime.batching.batcher import Batcher
from splitway.runtime.batching.threads import Runs
from splitway.wire.deadline import Deadline
from tests.splitway.runtime.clock import Clock
from tests.splitway.runtime.gated import FOREVER, Arrays, GatedModel, rows, running, submit, until, until_given_up


async def test_each_member_gets_its_own_rows() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(max_rows=8)) as batcher:
        first = asyncio.create_task(submit(batcher, rows(1), FOREVER))
        await until(lambda: len(model.batches) == 1)
        others = [asyncio.create_task(submit(batcher, rows(*([v] * v)), FOREVER)) for v in (2, 3)]
        await until(lambda: batcher.waiting_rows == 5)
        model.gate.set()
        got = [(await task).outputs["y"].tolist() for task in (first, *others)]
    assert got == [[2], [4, 4], [6, 6, 6]]
    assert model.batches == [1, 5]


async def test_rows_not_requests_fill_a_batch() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(max_rows=4)) as batcher:
        tasks = [asyncio.create_task(submit(batcher, rows(0), FOREVER))]
        await until(lambda: len(model.batches) == 1)
        tasks += [asyncio.create_task(submit(batcher, rows(*[1] * n), FOREVER)) for n in (3, 2, 6, 1)]
        await until(lambda: batcher.waiting_rows == 12)
        model.gate.set()
        await asyncio.gather(*tasks)
    assert model.batches == [1, 3, 2, 6, 1]


async def test_a_model_that_gives_other_rows_fails_the_batch_with_both_numbers() -> None:
    async with running(lambda inputs, _: {"y": inputs["x"][:1]}, BatchPolicy()) as batcher:
        with pytest.raises(EngineFailed, match="given 3 rows and gave 1"):
            await submit(batcher, rows(1, 2, 3), FOREVER)


async def test_a_model_error_fails_this_batch_and_not_the_loop() -> None:
    def model(inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        if inputs["x"][0] < 0:
            raise RuntimeError("negative")
        return {"y": inputs["x"]}

    async with running(model, BatchPolicy()) as batcher:
        with pytest.raises(EngineFailed, match="the model failed") as failed:
            await submit(batcher, rows(-1), FOREVER)
        assert failed.value.private == "RuntimeError: negative"
        assert (await submit(batcher, rows(1), FOREVER)).outputs["y"].tolist() == [1]


async def test_an_error_of_this_program_itself_is_told_and_those_who_wait_are_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those who wait: more than there are jobs for at once, of which none begins but where another ends."""

    def paused_s(_began_s: float, _ended_s: float) -> float:
        raise RuntimeError("no clock")

    model = GatedModel()
    batcher = Batcher(model, BatchPolicy(), runs=Runs(time.monotonic, paused_s))
    batcher.start()
    tasks = [asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in range(5)]
    await until(lambda: batcher.waiting_rows == 4)
    model.gate.set()
    async with asyncio.timeout(5):
        got = await asyncio.gather(*tasks)
    assert [result.outputs["y"].tolist() for result in got] == [[0], [2], [4], [6], [8]]
    assert "no clock" in caplog.text
    await batcher.close()


async def test_a_cancelled_member_is_skipped_and_leaves_no_one_hanging() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(max_rows=8)) as batcher:
        first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        members = [asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in (1, 2, 3, 4)]
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
        first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        late = asyncio.create_task(submit(batcher, rows(1), Deadline(1.0, lambda: now_s)))
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
        first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        waiting = asyncio.create_task(submit(batcher, rows(1, 2), FOREVER))
        await until(lambda: batcher.waiting_rows == 2)
        with pytest.raises(Overloaded, match="2 rows are already waiting"):
            await submit(batcher, rows(3), FOREVER)
        model.gate.set()
        await asyncio.gather(first, waiting)


async def test_what_cannot_be_done_in_time_is_refused_at_once() -> None:
    """The clock runs a second per row; ten rows wait, and the eleventh has five seconds."""
    model = GatedModel()
    now_s = 0.0

    def clock() -> float:
        return now_s

    def infer(inputs: Arrays, alone: bool) -> dict[str, NDArray[Any]]:
        nonlocal now_s
        now_s += len(inputs["x"]) if not model.batches else 0.0
        return model(inputs, alone)

    batcher = Batcher(infer, BatchPolicy(), clock)
    batcher.start()
    model.gate.set()
    await submit(batcher, rows(*[0] * 100), FOREVER)
    model.gate.clear()
    first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
    await until(lambda: len(model.batches) == 2)
    waiting = asyncio.create_task(submit(batcher, rows(*[0] * 100), FOREVER))
    await until(lambda: batcher.waiting_rows == 100)
    with pytest.raises(DeadlineExceeded, match="100 rows are already waiting"):
        await submit(batcher, rows(1), Deadline(now_s + 5, clock))
    model.gate.set()
    await asyncio.gather(first, waiting)
    await batcher.close()


async def test_closing_answers_everyone_who_still_waits() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy()) as batcher:
        tasks = [asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in (1, 2)]
        await until(lambda: len(model.batches) == 1)
        model.gate.set()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(not isinstance(r, asyncio.CancelledError) for r in got)
    with pytest.raises(Overloaded, match="the stage is stopping"):
        await submit(batcher, rows(3), FOREVER)


async def test_the_first_waits_for_others_only_as_long_as_it_may() -> None:
    model = GatedModel()
    model.gate.set()
    async with running(model, BatchPolicy(max_rows=3, max_wait_s=60.0)) as batcher:
        await asyncio.gather(*(submit(batcher, rows(v), FOREVER) for v in (1, 2, 3)))
    async with running(model, BatchPolicy(max_rows=3, max_wait_s=0.001)) as batcher:
        await submit(batcher, rows(1), FOREVER)
    assert model.batches == [3, 1]


async def test_those_who_come_while_the_first_waits_share_its_batch_also_where_it_hangs_up() -> None:
    model = GatedModel()
    model.gate.set()
    async with running(model, BatchPolicy(max_rows=3, max_wait_s=60.0)) as batcher:
        tasks = []
        for value in (1, 2):
            tasks.append(asyncio.create_task(submit(batcher, rows(value), FOREVER)))
            for _ in range(5):
                await asyncio.sleep(0)
            assert (batcher.waiting_rows, len(batcher._running)) == (value, 0)
        tasks[0].cancel()
        tasks += [asyncio.create_task(submit(batcher, rows(value), FOREVER)) for value in (3, 4)]
        got = await asyncio.gather(*tasks[1:])
    assert [result.outputs["y"].tolist() for result in got] == [[4], [6], [8]]
    assert model.batches == [3]


async def test_members_run_side_by_side_and_who_comes_alone_is_told_so() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(slots=2)) as batcher:
        tasks = [asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in (1, 2, 3, 4, 5)]
        await until(lambda: len(model.batches) == 2)
        assert batcher.waiting_rows == 3
        model.gate.set()
        got = await asyncio.gather(*tasks)
    assert [result.outputs["y"].tolist() for result in got] == [[2], [4], [6], [8], [10]]
    assert not any(model.was_alone[1:])


async def test_who_comes_later_is_alone() -> None:
    model = GatedModel()
    model.gate.set()
    async with running(model, BatchPolicy(slots=2)) as batcher:
        await submit(batcher, rows(1), FOREVER)
        await submit(batcher, rows(2), FOREVER)
    assert model.was_alone == [True, True]


@pytest.mark.parametrize("error", [InvalidInput("no picture"), MemoryError("a defect, not the model's")])
async def test_inputs_that_cannot_be_made_fail_their_own_member_only(error: Exception) -> None:
    model = GatedModel()

    def broken() -> Arrays:
        raise error

    async with running(model, BatchPolicy(max_rows=4)) as batcher:
        first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        bad = asyncio.create_task(batcher.submit(broken, 1, FOREVER))
        good = asyncio.create_task(submit(batcher, rows(5), FOREVER))
        await until(lambda: batcher.waiting_rows == 2)
        model.gate.set()
        with pytest.raises(type(error)):
            await bad
        assert (await good).outputs["y"].tolist() == [10]
        await first


async def test_who_hangs_up_in_the_line_before_a_thread_is_not_worked_for() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy()) as batcher:
        first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        gone, stays = (asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in (1, 2))
        await until(lambda: batcher.waiting_rows == 2)
        gone.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(first, stays)
    assert model.batches == [1, 1]


async def test_what_takes_next_to_no_time_is_done_at_once() -> None:
    threads: list[str] = []

    def infer(inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        threads.append(threading.current_thread().name)
        return {"y": inputs["x"]}

    async with running(infer, BatchPolicy()) as batcher:
        await submit(batcher, rows(1), FOREVER)
        await until(lambda: not batcher._running)
        batcher._row_s = 0.0001
        result = batcher.at_once(lambda: rows(7), 1, FOREVER)
        assert batcher.at_once(lambda: rows(7), 100, FOREVER) is None
    assert result is not None
    assert result.outputs["y"].tolist() == [7]
    assert threads[0].startswith("engine")
    assert threads[1] == threading.main_thread().name


async def test_what_fails_at_once_fails_as_it_would_have_in_a_thread() -> None:
    def infer(_: Arrays, __: bool) -> dict[str, NDArray[Any]]:
        raise RuntimeError("broken")

    async with running(infer, BatchPolicy()) as batcher:
        batcher._row_s = 0.0001
        with pytest.raises(EngineFailed, match="the model failed"):
            batcher.at_once(lambda: rows(7), 1, FOREVER)


class Stalling:
    """A model whose rows take as long as a test says, on a clock of its own; one slot, and a gate before each run."""

    def __init__(self, slots: int = 1, paused: bool = False) -> None:
        self.clock = Clock()
        self.takes_s = 0.005
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0
        runs = Runs(self.clock, lambda a, b: b - a if paused else 0.0)
        self.batcher = Batcher(self._infer, BatchPolicy(slots=slots), self.clock, runs=runs)
        self.batcher.start()

    def _infer(self, inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        self.begun += 1
        assert self.gate.wait(10)
        self.clock.pass_(self.takes_s * len(inputs["x"]))
        return {"y": inputs["x"]}

    def ask(self, seconds: float, *values: float) -> asyncio.Task[BatchResult]:
        return asyncio.create_task(submit(self.batcher, rows(*(values or (1,))), Deadline.after(seconds, self.clock)))

    async def idle(self) -> None:
        await until(lambda: not self.batcher._running)


@pytest.mark.parametrize("slots", [1, 2])
async def test_what_finds_nothing_ahead_is_answered_whatever_was_measured(slots: int) -> None:
    model = Stalling(slots)
    model.takes_s = 5.0
    await model.ask(30)
    model.takes_s = 0.005
    for _ in range(6):
        await model.idle()
        await model.ask(2)
    await model.idle()
    await model.ask(0.01, *[1] * 2)
    await model.batcher.close()


async def test_one_stall_with_others_in_the_queue_keeps_nobody_out_later() -> None:
    model = Stalling()
    for _ in range(5):
        await model.ask(2)
    model.takes_s = 60.0
    model.gate.clear()
    stalled = [model.ask(100) for _ in range(2)]
    await until(lambda: model.begun == 6)
    model.gate.set()
    await asyncio.gather(*stalled)
    model.takes_s = 0.005
    got = await asyncio.gather(*(model.ask(2) for _ in range(20)), return_exceptions=True)
    assert not [end for end in got if isinstance(end, Exception)]
    await model.batcher.close()


async def test_time_in_which_the_process_stood_still_is_no_work() -> None:
    model = Stalling(paused=True)
    model.takes_s = 60.0
    await model.ask(100)
    assert model.batcher._row_s == 0.0
    await model.batcher.close()


async def test_a_free_slot_takes_what_comes_whatever_the_estimate() -> None:
    model = Stalling(slots=2)
    model.takes_s = 5.0
    await model.ask(30)
    await model.idle()
    model.gate.clear()
    model.takes_s = 0.0
    first = model.ask(30)
    await until(lambda: model.begun == 2)
    second = model.ask(0.1)  # while another runs, for as long as it likes
    await until(lambda: model.begun == 3)
    model.gate.set()
    await asyncio.gather(first, second)
    await model.batcher.close()


async def test_a_refusal_is_forgotten_by_time_alone() -> None:
    model = Stalling()
    model.takes_s = 1.0
    await model.ask(30)
    await model.idle()
    model.gate.clear()
    model.takes_s = 0.0
    ahead = [model.ask(1000)]
    await until(lambda: model.begun == 2)
    ahead.append(model.ask(1000, *[1] * 10))
    await until(lambda: model.batcher.waiting_rows == 10)
    with pytest.raises(DeadlineExceeded, match="10 rows are already waiting"):
        await model.ask(5)
    model.clock.pass_(20)
    ahead.append(model.ask(5))
    await until(lambda: model.batcher.waiting_rows == 11)
    model.gate.set()
    await asyncio.gather(*ahead)
    await model.batcher.close()


async def test_an_estimate_that_was_too_low_refuses_again_once_rows_are_slow() -> None:
    model = Stalling()
    for _ in range(20):
        await model.ask(2)
    model.takes_s = 1.0
    for _ in range(20):
        await model.ask(2)
    await model.idle()
    model.gate.clear()
    ahead = [model.ask(1000) for _ in range(2)]
    await until(lambda: model.begun == 41 and model.batcher.waiting_rows == 1)
    with pytest.raises(DeadlineExceeded):
        await model.ask(1)
    model.gate.set()
    await asyncio.gather(*ahead)
    await model.batcher.close()


async def test_after_large_pictures_small_ones_are_answered() -> None:
    model = Stalling()
    for _ in range(4):
        await model.ask(30)
    model.takes_s = 0.8
    for _ in range(4):
        await model.ask(30)
    model.takes_s = 0.005
    got = await asyncio.gather(*(model.ask(2) for _ in range(10)), return_exceptions=True)
    assert not [end for end in got if isinstance(end, Exception)]
    await model.batcher.close()


async def test_a_thread_that_hangs_does_not_keep_the_batcher_from_closing() -> None:
    model = Stalling()
    model.gate.clear()
    asked = model.ask(1000)
    await until(lambda: model.begun == 1)
    assert not await model.batcher.close(0.01)
    with pytest.raises(Overloaded, match="is stopping"):
        await asked
    with pytest.raises(Overloaded, match="is stopping"):
        await model.ask(1)
    model.gate.set()


async def test_after_a_failure_at_once_the_next_is_done_in_a_thread() -> None:
    threads: list[str] = []

    def infer(_: Arrays, __: bool) -> dict[str, NDArray[Any]]:
        threads.append(threading.current_thread().name)
        raise RuntimeError("broken")

    clock = Clock()
    batcher = Batcher(infer, BatchPolicy(), clock)
    batcher.start()
    batcher._row_s = 0.0001
    with pytest.raises(EngineFailed):
        batcher.at_once(lambda: rows(7), 1, FOREVER)
    assert batcher.at_once(lambda: rows(7), 1, FOREVER) is None
    clock.pass_(1.0)
    with pytest.raises(EngineFailed):
        batcher.at_once(lambda: rows(7), 1, FOREVER)
    assert len(threads) == 2
    await batcher.close()


async def test_what_nobody_waits_for_any_more_leaves_the_queue_with_all_that_it_holds() -> None:
    model = GatedModel()
    async with running(model, BatchPolicy(queue_rows=4)) as batcher:
        first = asyncio.create_task(submit(batcher, rows(0), FOREVER))
        await until(lambda: len(model.batches) == 1)
        body = np.zeros(4, np.float32)
        is_held = weakref.ref(body)
        given_up = asyncio.create_task(until_given_up(submit(batcher, {"x": body}, FOREVER)))
        del body
        await until(lambda: batcher.waiting_rows == 4)
        given_up.cancel()
        await given_up
        del given_up
        gc.collect()
        assert batcher.waiting_rows == 0
        assert is_held() is None
        after = asyncio.create_task(submit(batcher, rows(1, 2, 3, 4), FOREVER))
        await until(lambda: batcher.waiting_rows == 4)
        model.gate.set()
        assert (await after).outputs["y"].tolist() == [2, 4, 6, 8]
        await first
    assert model.batches == [1, 4]


async def test_answers_that_do_not_fit_together_leave_nobody_waiting() -> None:
    begun, gate = threading.Event(), threading.Event()

    def model(inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        begun.set()
        assert gate.wait(10)
        if len(inputs["x"]) > 1:
            raise RuntimeError("not together")
        return {"y": np.zeros((1, int(inputs["x"][0])), np.float32)}

    async with running(model, BatchPolicy(max_rows=8)) as batcher:
        first = asyncio.create_task(submit(batcher, rows(1), FOREVER))
        await until(begun.is_set)
        several = [asyncio.create_task(submit(batcher, rows(v), FOREVER)) for v in (2, 3)]
        await until(lambda: batcher.waiting_rows == 2)
        gate.set()
        await first
        async with asyncio.timeout(5):
            ends = await asyncio.gather(*several, return_exceptions=True)
        assert [type(end) for end in ends] == [EngineFailed, EngineFailed]
        assert (await submit(batcher, rows(1), FOREVER)).outputs["y"].shape == (1, 1)


async def test_one_request_of_many_slow_rows_is_no_hang() -> None:
    """A model that takes two seconds a row: a request of 64 is late, and must not end the process for that."""
    clock = Clock()
    runs = Runs(clock)
    may_take_s: list[float] = []

    def slow(inputs: Arrays, _: bool) -> dict[str, NDArray[Any]]:
        may_take_s.extend(more_s for _, _, more_s in runs.under_way)
        clock.pass_(2.0 * len(inputs["x"]))
        return {"y": inputs["x"]}

    batcher = Batcher(slow, BatchPolicy(), clock, runs=runs)
    batcher.start()
    for many in (64, 1, 64):
        await batcher.submit(partial(rows, *[1] * many), many, FOREVER)
    await batcher.close()
    assert may_take_s == [64, 4, 256]
