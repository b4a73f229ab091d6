"""When a second attempt is made beside a first, and what becomes of the one that loses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitway.gateway.resilience.hedge import HedgeDelay, hedged
from tests.gateway.resilience.support import Clock


class Runner:
    """One attempt that ends when it is told to."""

    def __init__(self) -> None:
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.was_cancelled = False

    async def run(self) -> str:
        try:
            return await self.end
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def _race(first: Runner, second: Runner | None) -> asyncio.Task[str]:
    """Both under way, or one where there is no second."""

    def start() -> Coroutine[Any, Any, str] | None:
        return None if second is None else second.run()

    task = asyncio.create_task(hedged(first.run(), start, 0.0))
    for _ in range(10):
        await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("winner", [0, 1])
async def test_the_first_answer_counts_and_the_loser_is_cancelled(winner: int) -> None:
    runners = Runner(), Runner()
    task = await _race(*runners)
    runners[winner].end.set_result("answer")
    assert await task == "answer"
    assert [runner.was_cancelled for runner in runners] == [winner == 1, winner == 0]


@pytest.mark.parametrize("loser", [0, 1])
async def test_one_that_fails_leaves_the_other_to_answer(loser: int) -> None:
    runners = Runner(), Runner()
    task = await _race(*runners)
    runners[loser].end.set_exception(OSError("no"))
    await asyncio.sleep(0)
    runners[1 - loser].end.set_result("answer")
    assert await task == "answer"


async def test_if_both_fail_the_first_ones_reason_is_told() -> None:
    first, second = Runner(), Runner()
    task = await _race(first, second)
    second.end.set_exception(OSError("second"))
    await asyncio.sleep(0)
    first.end.set_exception(OSError("first"))
    with pytest.raises(OSError, match="first"):
        await task


async def test_where_there_may_be_no_second_the_first_goes_on() -> None:
    first = Runner()
    task = await _race(first, None)
    first.end.set_result("answer")
    assert await task == "answer"


async def test_a_caller_who_leaves_takes_both_along() -> None:
    first, second = Runner(), Runner()
    task = await _race(first, second)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert first.was_cancelled
    assert second.was_cancelled


async def test_a_quick_answer_is_not_hedged() -> None:
    async def quick() -> str:
        return "answer"

    def never() -> None:
        raise AssertionError("no second attempt was called for")

    assert await hedged(quick(), never, 10.0) == "answer"


@given(st.integers(128, 3000), st.integers(1, 40), st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.integers())
def test_the_delay_is_the_quantile_of_what_was_seen_lately(
    count: int, different: int, quantile: float, seed: int
) -> None:
    dice = random.Random(seed)
    latencies = [dice.randrange(different) / 10 for _ in range(count)]
    delay = HedgeDelay(quantile)
    for seconds in latencies:
        delay.observe(seconds)
    upto = 100 + (count - 100) // 32 * 32  # ranked at the hundredth, then at every 32nd
    recent = sorted(latencies[max(0, upto - 1024) : upto])
    below = sum(seconds < (delay.seconds or 0.0) for seconds in recent) / len(recent)
    not_above = sum(seconds <= (delay.seconds or 0.0) for seconds in recent) / len(recent)
    assert below <= quantile <= not_above


def test_nothing_is_known_at_first() -> None:
    delay = HedgeDelay(0.95)
    for _ in range(99):
        delay.observe(0.1)
    assert delay.seconds is None


@pytest.mark.parametrize(("per_s", "within_s"), [(50.0, 65.0), (1.0, 140.0)], ids=["busy", "quiet"])
def test_a_pause_that_all_attempts_sat_through_is_forgotten_in_time_and_not_in_number_alone(
    per_s: float, within_s: float
) -> None:
    clock = Clock()
    delay = HedgeDelay(0.95, clock)
    for _ in range(1024):
        delay.observe(0.1)
        clock.now_s += 1 / per_s
    clock.now_s += 60
    for _ in range(128):
        delay.observe(60.0)
    assert delay.seconds == 60.0
    began_s = clock.now_s
    while delay.seconds != 0.1:
        clock.now_s += 1 / per_s
        delay.observe(0.1)
    assert clock.now_s - began_s <= within_s


def test_another_load_is_learned_in_a_minute() -> None:
    clock = Clock()
    delay = HedgeDelay(0.95, clock)
    for seconds in (0.1, 1.0, 0.1):
        for _ in range(61 * 10):
            delay.observe(seconds)
            clock.now_s += 0.1
        assert delay.seconds == seconds
