"""The adaptive limit: bounds, directions and a simulated stage, in virtual time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from splitway.gateway.resilience.limiter import INITIAL, LOWEST, WINDOW_S, AdaptiveLimit
from tests.gateway.resilience.support import Clock

WORK_S = 0.01


class LimitMachine(RuleBasedStateMachine):
    """Windows of any content; the limit moves only as the window's content allows."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.limit = AdaptiveLimit(self.clock)
        self.reference = 16.0

    @rule(
        waits_s=st.lists(st.sampled_from([0.0, 0.02, 0.031, 0.2]), min_size=1, max_size=5),
        full=st.booleans(),
        refused=st.booleans(),
    )
    def window(self, waits_s: list[float], full: bool, refused: bool) -> None:
        in_flight = self.limit.limit if full else 0
        for waited_s in waits_s:
            self.limit.observe(waited_s=waited_s, worked_s=WORK_S, in_flight=in_flight)
        self.clock.now_s += WINDOW_S
        if refused:
            self.limit.refused()
            self.reference *= 0.7
        else:
            self.limit.observe(waited_s=waits_s[0], worked_s=WORK_S, in_flight=0)
            if min(waits_s) > 3 * WORK_S:
                self.reference *= 0.9
            elif full:
                self.reference += 1
        self.reference = min(512.0, max(4.0, self.reference))

    @invariant()
    def agrees(self) -> None:
        assert self.limit.limit == int(self.reference)


TestLimit = LimitMachine.TestCase
TestLimit.settings = settings(max_examples=1000, stateful_step_count=30, deadline=None)


def _settle(servers: int, seconds: float) -> int:
    """A stage of so many servers under endless demand: a request waits for those before it."""
    clock = Clock()
    limit = AdaptiveLimit(clock)
    for _ in range(int(seconds / WORK_S)):
        clock.now_s += WORK_S
        in_flight = limit.limit
        waited_s = max(0.0, in_flight / servers - 1) * WORK_S
        for _ in range(servers):
            limit.observe(waited_s=waited_s, worked_s=WORK_S, in_flight=in_flight)
    return limit.limit


def test_the_limit_settles_where_the_bottleneck_is_busy_and_waits_are_short() -> None:
    for servers in (2, 8, 32):
        settled = _settle(servers, 120)
        assert servers <= settled <= 5 * servers, (servers, settled)


def test_the_limit_does_not_drift_under_steady_overload() -> None:
    assert abs(_settle(8, 60) - _settle(8, 600)) <= 8


def test_after_a_pause_of_a_minute_one_window_is_left_out_and_the_limit_recovers() -> None:
    clock = Clock()
    limit = AdaptiveLimit(clock)
    limit.refused()
    clock.now_s += 60
    limit.observe(waited_s=60.0, worked_s=WORK_S, in_flight=16)
    assert limit.limit == INITIAL, "neither what was seen before a pause nor what sat through it counts"


def test_from_the_lowest_it_is_back_within_seconds_where_there_is_work() -> None:
    clock = Clock()
    limit = AdaptiveLimit(clock)
    for _ in range(100):
        clock.now_s += WINDOW_S
        limit.refused()
    assert limit.limit == LOWEST
    for _ in range(200):
        clock.now_s += 0.01
        limit.observe(waited_s=0.0, worked_s=WORK_S, in_flight=limit.limit)
    assert limit.limit >= INITIAL


def _held_back(waited_s: float) -> int:
    """The limit after a second in which one caller's requests were held back and others waited so long."""
    clock = Clock()
    limit = AdaptiveLimit(clock)
    for _ in range(100):
        clock.now_s += 0.01
        limit.held_back()
        limit.observe(waited_s=0.0, worked_s=1.0, in_flight=2)
        limit.observe(waited_s=waited_s, worked_s=0.001, in_flight=2)
    return limit.limit


def test_where_requests_are_held_back_it_rises_only_if_even_the_cheap_ones_find_the_bottleneck_idle() -> None:
    assert _held_back(0.0) > INITIAL
    assert _held_back(0.3) == INITIAL
