"""How fast a queue moves, by the clock of a test."""

from __future__ import annotations

import pytest

from splitway.gateway.resilience.queue_pace import QueuePace
from tests.gateway.resilience.support import Clock


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
