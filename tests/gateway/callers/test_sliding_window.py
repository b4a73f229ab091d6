"""Counting over a window: never more than the limit in any stretch of time, and when there is room again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitway.gateway.callers.sliding_window import Limit, MemoryWindows, WindowCounts
from tests.gateway.resilience.support import Clock

TEN = Limit("cost", 10, 60)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def windows(clock: Clock) -> MemoryWindows:
    return MemoryWindows(clock)


async def test_as_much_as_the_limit_and_no_more(windows: MemoryWindows) -> None:
    first = await windows.take("a", TEN, 4)
    assert (first.taken, first.remaining, first.reset_s) == (True, 6, 60)
    assert (await windows.take("a", TEN, 6)).remaining == 0
    refused = await windows.take("a", TEN, 1)
    assert (refused.taken, refused.remaining) == (False, 0)
    assert (await windows.take("b", TEN, 10)).taken, "others have their own"


async def test_what_is_refused_takes_nothing(windows: MemoryWindows) -> None:
    await windows.take("a", TEN, 8)
    assert not (await windows.take("a", TEN, 3)).taken
    assert (await windows.take("a", TEN, 2)).taken


async def test_nobody_has_twice_the_limit_around_the_change_of_windows(windows: MemoryWindows, clock: Clock) -> None:
    clock.now_s += 59
    await windows.take("a", TEN, 1)  # the window begins with the first
    clock.now_s += 59
    await windows.take("a", TEN, 9)
    clock.now_s += 2
    assert (await windows.take("a", TEN, 1)).remaining == 0
    assert not (await windows.take("a", TEN, 1)).taken


async def test_after_two_windows_all_is_forgotten(windows: MemoryWindows, clock: Clock) -> None:
    await windows.take("a", TEN, 10)
    clock.now_s += 121
    assert (await windows.take("a", TEN, 10)).taken


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(1, 10)), max_size=30), st.integers(1, 10))
async def test_who_waits_as_long_as_they_are_told_gets_it_then_and_no_sooner(
    takes: list[tuple[float, int]], wanted: int
) -> None:
    clock = Clock()
    windows = MemoryWindows(clock)
    for pause_s, amount in takes:
        clock.now_s += pause_s
        await windows.take("a", TEN, amount)
    told = await windows.take("a", TEN, wanted)
    if told.taken:
        assert told.wait_s == 0
        return
    assert 0 < told.wait_s <= 120
    clock.now_s += told.wait_s - 0.01
    assert not (await windows.take("a", TEN, wanted)).taken
    clock.now_s += 0.02
    assert (await windows.take("a", TEN, wanted)).taken


def test_more_than_the_limit_is_never_there() -> None:
    assert math.isfinite(WindowCounts(0, 0, 60).wait_s(11, TEN))
    assert WindowCounts(3, 4, 30).wait_s(11, TEN) >= 30


async def test_memory_does_not_grow_with_what_is_counted_nor_beyond_so_many_callers(clock: Clock) -> None:
    windows = MemoryWindows(clock, max_callers=3)
    for _ in range(100):
        await windows.take("a", Limit("cost", 1 << 40, 60), 1 << 20)
    assert len(windows) == 1
    for n in range(10):
        await windows.take(f"other {n}", TEN, 1)
        await windows.take("a", TEN, 0)
    assert len(windows) == 3
    assert (await windows.take("a", Limit("cost", 1 << 40, 60), 0)).remaining < 1 << 40, "who comes often is kept"
