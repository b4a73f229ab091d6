"""The door: who comes in, who waits, who is turned away."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from splitway.errors import Overloaded
from splitway.gateway.resilience.admission import Admission, QueuePace, Turned
from splitway.gateway.resilience.limiter import AdaptiveLimit
from splitway.wire.deadline import Deadline
from tests.gateway.resilience.bottleneck import Bottleneck
from tests.gateway.resilience.support import Clock, in_virtual_time

FOREVER = Deadline.after(1e6)


@pytest.fixture
def door() -> Admission:
    """Four inside, four in the queue."""
    clock = Clock()
    return Admission(AdaptiveLimit(clock, 4), clock, queue_places=4, longest_wait_s=60)


async def _enter(door: Admission, times: int) -> AsyncExitStack:
    inside = AsyncExitStack()
    for _ in range(times):
        await door.enter(FOREVER)
        inside.callback(door.leave)
    return inside


async def _stay(door: Admission, stay: asyncio.Event) -> None:
    await door.enter(FOREVER)
    try:
        await stay.wait()
    finally:
        door.leave()


async def _let_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_beyond_the_queue_are_turned_away_at_once(door: Admission) -> None:
    inside = await _enter(door, 4)
    stay = asyncio.Event()
    waiting = [asyncio.create_task(_stay(door, stay)) for _ in range(4)]
    await _let_run()
    assert (door.in_flight, door.queued) == (4, 4)
    with pytest.raises(Overloaded) as caught:
        await _enter(door, 1)
    assert caught.value.retry_after_s == 1.0
    await inside.aclose()
    await _let_run()
    assert (door.in_flight, door.queued) == (4, 0)
    stay.set()
    await asyncio.gather(*waiting)
    assert door.in_flight == 0


async def test_who_waits_too_long_is_turned_away() -> None:
    clock = Clock()
    door = Admission(AdaptiveLimit(clock, 4), clock, longest_wait_s=0.0)
    inside = await _enter(door, 4)
    with pytest.raises(Overloaded):
        await _enter(door, 1)
    assert (door.in_flight, door.queued) == (4, 0)
    await inside.aclose()
    assert door.in_flight == 0


async def test_who_gives_up_leaves_no_gap(door: Admission) -> None:
    """One in the queue is cancelled before, one in the very moment in which a place is handed over."""
    inside = await _enter(door, 4)
    stay = asyncio.Event()
    waiting = [asyncio.create_task(_stay(door, stay)) for _ in range(3)]
    await _let_run()
    waiting[0].cancel()
    await _let_run()
    await inside.aclose()
    waiting[1].cancel()
    await _let_run()
    stay.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (door.in_flight, door.queued) == (0, 0)
    assert waiting[2].exception() is None


async def test_a_pause_between_two_groups_turns_nobody_away() -> None:
    """Four leave together every 40 ms. The first interval that is seen is a pause; at that pace 48 would wait 2 s."""
    clock = Clock()
    door = Admission(AdaptiveLimit(clock), clock, longest_wait_s=60)
    inside = [await _enter(door, 1) for _ in range(16)]
    stay = asyncio.Event()
    waiting = [asyncio.create_task(_stay(door, stay)) for _ in range(48)]
    await _let_run()
    await inside.pop().aclose()  # the last of a group
    for _ in range(3):
        clock.now_s += 0.04
        for _ in range(4):
            await inside.pop().aclose()
            waiting.append(asyncio.create_task(_stay(door, stay)))
            await _let_run()
    assert not door.turned_away
    stay.set()
    await asyncio.gather(*waiting, *(each.aclose() for each in inside))


async def test_who_would_wait_too_long_is_turned_away_before_the_wait(door: Admission) -> None:
    """One leaves every 0.6 s: the second in the queue would wait 1.2 s, and one second is the most."""
    inside = [await _enter(door, 1) for _ in range(4)]
    stay = asyncio.Event()
    waiting = [asyncio.create_task(_stay(door, stay)) for _ in range(4)]
    await _let_run()
    for leaving in inside[:2]:
        assert isinstance(door._clock, Clock)
        door._clock.now_s += 0.6
        await leaving.aclose()
    await _let_run()
    assert (door.in_flight, door.queued) == (4, 2)
    with pytest.raises(Overloaded):
        await _enter(door, 1)
    assert door.turned_away == {Turned.TOO_LONG: 1}
    await inside[2].aclose()
    await inside[3].aclose()
    assert door.queued == 0
    stay.set()
    await asyncio.gather(*waiting)
    assert door.in_flight == 0


async def _stand(door: Admission, caller: str, times: int, stay: asyncio.Event) -> list[asyncio.Task[None]]:
    async def stand() -> None:
        await door.enter(FOREVER, caller)
        try:
            await stay.wait()
        finally:
            door.leave(caller)

    tasks = [asyncio.create_task(stand(), name=caller) for _ in range(times)]
    await _let_run()
    return tasks


async def test_whoever_asks_for_little_does_not_wait_for_whoever_asks_for_much(door: Admission) -> None:
    inside, stay = await _enter(door, 4), asyncio.Event()
    greedy = await _stand(door, "greedy", 4, stay)
    modest = await _stand(door, "modest", 1, stay)  # the queue was full: the greedy caller's last is turned away
    assert (door.queued, door.turned_away) == (4, {Turned.FULL: 1})
    assert isinstance(greedy[-1].exception(), Overloaded)
    with pytest.raises(Overloaded):
        await door.enter(FOREVER, "greedy")
    door.limit._limit = 2.0
    await inside.aclose()  # two of the four places come free
    await _let_run()
    assert door.in_flight == 2
    assert door.queued == 2
    stay.set()
    await asyncio.gather(*greedy, *modest, return_exceptions=True)
    assert modest[0].exception() is None
    assert (door.in_flight, door.queued) == (0, 0)


async def test_who_is_turned_away_for_another_and_gives_up_in_the_same_moment_leaves_no_gap(door: Admission) -> None:
    inside, stay = await _enter(door, 4), asyncio.Event()
    greedy = await _stand(door, "greedy", 4, stay)
    modest = asyncio.create_task(door.enter(FOREVER, "modest"))
    await asyncio.sleep(0)
    greedy[-1].cancel()
    await _let_run()
    await inside.aclose()
    stay.set()
    await asyncio.gather(*greedy, modest, return_exceptions=True)
    door.leave("modest")
    assert (door.in_flight, door.queued) == (0, 0)


def _share_of(seconds: float, lanes: int, *clients: tuple[str, int, float, int]) -> tuple[Bottleneck, dict[str, float]]:
    """What callers got of the bottleneck's time.

    Args:
        seconds: how long, after ten in which the door learns.
        lanes: of the bottleneck.
        clients: caller, how many clients that ask again and again, a rate of one that does not wait, and what a request
            costs.
    """

    async def main() -> tuple[Bottleneck, dict[str, float]]:
        stage = Bottleneck(lanes)
        tasks = []
        for caller, count, per_s, cost in clients:
            tasks += [asyncio.create_task(stage.again_and_again(caller, cost)) for _ in range(count)]
            tasks += [asyncio.create_task(stage.at_a_rate(caller, cost, per_s))] if per_s else []
        await asyncio.sleep(10)
        stage.forget()
        await asyncio.sleep(seconds)
        shares = {caller: worked_s / seconds / lanes for caller, worked_s in stage.worked_s.items()}
        ends = dict(stage.ends)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stage.ends = Counter(ends)
        return stage, shares

    return in_virtual_time(main())


@pytest.mark.parametrize("lanes", [1, 2])
def test_callers_who_ask_for_all_there_is_get_half_each_whatever_their_requests_cost(lanes: int) -> None:
    _, shares = _share_of(30, lanes, ("dear", 60, 0, 64), ("cheap", 60 * lanes, 0, 1))
    assert shares["cheap"] > 0.4
    assert shares["dear"] > 0.4


@pytest.mark.parametrize("lanes", [1, 2, 16])
def test_who_asks_for_less_than_half_gets_all_of_it(lanes: int) -> None:
    """60 requests of 64 rows at once from one caller, and 10 of one row a second from another."""
    stage, shares = _share_of(60, lanes, ("dear", 60, 0, 64), ("cheap", 0, 10, 1))
    answered = stage.ends["cheap", "ok"]
    assert answered >= 0.99 * sum(count for (caller, _), count in stage.ends.items() if caller == "cheap")
    assert answered >= 0.99 * 600
    assert sum(shares.values()) > 0.9, "the bottleneck is not kept idle for it"


def test_a_caller_who_is_alone_may_have_all() -> None:
    for lanes in (2, 8):
        stage, shares = _share_of(30, lanes, ("dear", 60, 0, 64))
        assert shares["dear"] > 0.9
        assert stage.door.limit.limit > 4


def test_where_requests_cost_the_same_all_is_as_ever() -> None:
    stage, shares = _share_of(30, 2, ("one", 60, 0, 1), ("other", 60, 0, 1), ("third", 0, 20, 1))
    assert shares["one"] == pytest.approx(shares["other"], rel=0.05)
    assert stage.ends["third", "ok"] >= 0.99 * 600
    assert sum(shares.values()) > 0.95


def test_after_a_stage_that_stood_still_for_a_minute_the_door_is_as_wide_as_before_within_seconds() -> None:
    async def main() -> tuple[int, Counter[tuple[str, str]]]:
        stage = Bottleneck(lanes=4, unit_s=0.01)
        tasks = [asyncio.create_task(stage.again_and_again("one", 1)) for _ in range(40)]
        await asyncio.sleep(20)
        before = stage.limit.limit
        stage.paused.clear()
        await asyncio.sleep(60)
        stage.paused.set()
        await asyncio.sleep(5)
        stage.forget()
        await asyncio.sleep(5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return before, stage.ends

    before, ends = in_virtual_time(main())
    assert before >= 4
    assert ends["one", "ok"] >= 0.95 * 4 * 5 / 0.01
    assert ends["one", "shed"] + ends["one", "late"] == 0


async def test_costs_that_turn_out_lower_let_their_caller_in_sooner() -> None:
    clock, order = Clock(), list[str]()
    door = Admission(AdaptiveLimit(clock, 4), clock)
    for _ in range(4):
        await door.enter(FOREVER, "one", 8)

    async def stand(caller: str) -> None:
        await door.enter(FOREVER, caller, 8)
        order.append(caller)

    tasks = [asyncio.create_task(stand(caller)) for caller in ("one", "one", "other", "other")]
    await _let_run()
    door.leave("one", 8)
    await _let_run()
    door.leave("one", 8, spent=1)
    await _let_run()
    assert len(order) == 2
    for _ in range(2):
        door.leave("one", 8)
        await _let_run()
    await asyncio.gather(*tasks)
    assert sorted(order) == ["one", "one", "other", "other"]
    assert door.in_flight == 4


async def test_what_is_remembered_of_callers_is_forgotten_when_they_are_gone(door: Admission) -> None:
    assert isinstance(door._clock, Clock)
    for number in range(1000):
        await door.enter(FOREVER, f"caller {number}", 2)
        door.leave(f"caller {number}", 2)
        door._clock.now_s += 0.1
    assert len(door._shares) <= 64


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _leave(pace: QueuePace, clock: Clock, times: int, every_s: float, cost: float = 1) -> None:
    for _ in range(times):
        clock.now_s += every_s
        pace.left(cost)


def test_what_is_expected_follows_the_time_between_two_that_leave_and_what_they_cost(clock: Clock) -> None:
    pace = QueuePace(2.0, clock)
    assert pace.expected_s(100, 100) == 0.0
    _leave(pace, clock, 20, 0.1)
    assert pace.expected_s(10, 10) == pytest.approx(1.0)
    _leave(pace, clock, 200, 0.32, cost=64)
    assert pace.expected_s(1, 64) == pytest.approx(0.32, rel=0.01)
    assert pace.expected_s(64, 64) == pytest.approx(0.32, rel=0.01), "64 of one take as long as one of 64"


def test_a_cheap_one_that_left_after_a_dear_one_does_not_make_all_dear_ones_hopeless(clock: Clock) -> None:
    pace = QueuePace(2.0, clock)
    _leave(pace, clock, 2, 0.25)
    assert pace.expected_s(1, 64) == pytest.approx(0.25)


def test_a_minute_in_which_nothing_ran_is_forgotten_after_a_few_that_leave(clock: Clock) -> None:
    pace = QueuePace(2.0, clock)
    _leave(pace, clock, 20, 0.01)
    _leave(pace, clock, 1, 60.0)
    assert pace.expected_s(1, 1) < 0.3, "as it was: 6 s for each that waits"
    _leave(pace, clock, 30, 0.01)
    assert pace.expected_s(10, 10) < 0.2


def test_where_nothing_waits_it_begins_anew(clock: Clock) -> None:
    pace = QueuePace(2.0, clock)
    _leave(pace, clock, 5, 1.0)
    pace.rest()
    assert (pace.expected_s(10, 10), pace.measured_s) == (0.0, 0.0)
    _leave(pace, clock, 1, 50.0)
    assert pace.measured_s == 0.0, "the time in which nothing waited does not count"
