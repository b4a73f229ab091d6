"""The breaker against a small reference model, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from splitway.gateway.resilience.breaker import (
    OPEN_BASE_S,
    OPEN_JITTER,
    WINDOW_S,
    BreakerState,
    CircuitBreaker,
    Permit,
    too_much,
)
from splitway.gateway.resilience.window import CallCounts
from tests.gateway.resilience.support import Chance, Clock


@dataclass
class Call:
    """A permit that is out, and when in the model's life it was given."""

    permit: Permit
    era: int


class Model:
    """The breaker as its description reads: plain lists, no buckets, recomputed each time."""

    def __init__(self) -> None:
        self.state = "closed"
        self.era = 0
        self.calls: list[tuple[int, str]] = []
        self.errors_in_a_row = 0
        self.opened_in_a_row = 0
        self.open_until_s = 0.0
        self.out = self.passed = self.missed = 0

    def move(self, state: str) -> None:
        self.state, self.era = state, self.era + 1
        self.calls, self.errors_in_a_row, self.out, self.passed, self.missed = [], 0, 0, 0, 0

    def open(self, now_s: float, last: bool) -> None:
        self.open_until_s = now_s + (1.0 if last else min(30.0, 2.0**self.opened_in_a_row))
        self.opened_in_a_row += 1
        self.move("open")

    def tick(self, now_s: float) -> None:
        if self.state == "open" and now_s >= self.open_until_s:
            self.move("half_open")

    def end(self, era: int, how: str, now_s: float, last: bool) -> None:
        if era != self.era:
            return
        if how == "released":
            self.out -= self.state == "half_open"
            return
        failed = how in ("failed", "connection")
        self.errors_in_a_row = self.errors_in_a_row + 1 if how == "connection" else 0
        if self.state == "half_open":
            self.end_trial(failed or (how == "slow" and not last), now_s, last)
        elif self.state == "closed":
            self.calls.append((int(now_s // 1.0), how))
            if self.errors_in_a_row >= 5 or self.is_too_much(now_s, last):
                self.open(now_s, last)

    def end_trial(self, bad: bool, now_s: float, last: bool) -> None:
        self.out -= 1
        self.missed += bad
        self.passed += not bad
        if self.missed == 2:
            self.open(now_s, last)
        elif self.passed == 2:
            self.opened_in_a_row = 0
            self.move("closed")

    def is_too_much(self, now_s: float, last: bool) -> bool:
        recent = [how for second, how in self.calls if second > int(now_s // 1.0) - 10]
        failed = sum(how in ("failed", "connection") for how in recent)
        slow = recent.count("slow")
        if len(recent) < 10:
            return False
        return failed * 2 >= len(recent) or (slow * 10 >= len(recent) * 8 and not last)

    def lets_through(self) -> bool:
        return self.state == "closed" or (self.state == "half_open" and self.out + self.passed + self.missed < 3)


class BreakerMachine(RuleBasedStateMachine):
    """Any order of calls, ends and passing time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.last = False
        self.breaker = CircuitBreaker(self.clock, Chance(), others_serve=lambda: not self.last)
        self.model = Model()
        self.calls: list[Call] = []

    @rule(times=st.integers(1, 12))
    def call(self, times: int) -> None:
        for _ in range(times):
            self.model.tick(self.clock.now_s)
            permit = self.breaker.acquire()
            assert (permit is not None) == self.model.lets_through()
            if permit is not None:
                self.model.out += self.model.state == "half_open"
                self.calls.append(Call(permit, self.model.era))

    @precondition(lambda self: self.calls)
    @rule(
        data=st.data(),
        how=st.sampled_from(["ok", "ok", "slow", "failed", "connection", "released"]),
        times=st.integers(1, 12),
    )
    def end(self, data: Any, how: str, times: int) -> None:
        for _ in range(min(times, len(self.calls))):
            self.model.tick(self.clock.now_s)
            _ = self.breaker.state
            call = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
            _end(call.permit, how)
            self.model.end(call.era, how, self.clock.now_s, self.last)

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 2.5, 9.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(last=st.booleans())
    def become_last(self, last: bool) -> None:
        self.last = last

    @invariant()
    def agrees(self) -> None:
        self.model.tick(self.clock.now_s)
        assert self.breaker.state == self.model.state
        assert self.breaker.lets_through == self.model.lets_through()


def _end(permit: Permit, how: str) -> None:
    if how == "released":
        permit.released()
    elif how in ("failed", "connection"):
        permit.failed(connection_error=how == "connection")
    else:
        permit.succeeded(slow=how == "slow")


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=1000, stateful_step_count=30, deadline=None)


class _Watched:
    """A breaker, what it has done so far, and the permits that are out."""

    def __init__(self, clock: Clock, last: list[bool]) -> None:
        self.story: list[BreakerState | bool] = []
        self._permits: list[Permit] = []
        self.breaker = CircuitBreaker(
            clock, Chance(0.3, 0.7), others_serve=lambda: not last[-1], on_transition=self.story.append
        )

    def step(self, what: str) -> None:
        if what == "call":
            permit = self.breaker.acquire()
            self.story.append(permit is not None)
            self._permits += [permit] if permit is not None else []
        elif self._permits:
            _end(self._permits.pop(0), what)

    def look(self) -> tuple[BreakerState, bool, float]:
        return self.breaker.state, self.breaker.lets_through, self.breaker.retry_in_s


STEP = st.tuples(
    st.sampled_from(["call", "call", "ok", "slow", "failed", "connection", "released"]),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.0, 0.3, 1.0, 2.5, 31.0]),
    st.booleans(),
    st.integers(0, 2),
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_looking_at_a_breaker_changes_nothing_that_follows(steps: list[tuple[str, int, float, bool, int]]) -> None:
    clock, last = Clock(), [False]
    looked_at, left_alone = _Watched(clock, last), _Watched(clock, last)
    for what, times, seconds, is_last, looks in steps:
        last.append(is_last)
        for _ in range(times):
            looked_at.step(what)
            left_alone.step(what)
        clock.now_s += seconds
        assert len({looked_at.look() for _ in range(looks)}) <= 1
    assert looked_at.story == left_alone.story
    assert looked_at.look() == left_alone.look()


def test_an_open_breaker_whose_time_is_over_moves_when_it_is_called_and_not_when_it_is_looked_at() -> None:
    clock = Clock()
    watched = _Watched(clock, [False])
    for what in ("call", "connection") * 5:
        watched.step(what)
    clock.now_s += 2
    assert watched.look() == (BreakerState.HALF_OPEN, True, 0.0)
    assert watched.story[-1] is BreakerState.OPEN
    watched.step("call")
    assert watched.story[-2:] == [BreakerState.HALF_OPEN, True]


def _breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock, Chance())


def _call(breaker: CircuitBreaker, how: str) -> None:
    permit = breaker.acquire()
    assert permit is not None
    _end(permit, how)


@pytest.mark.parametrize(
    ("calls", "failed", "slow", "says"),
    [
        (9, 9, 0, None),
        (10, 4, 0, None),
        (10, 5, 0, "failed"),
        (10, 0, 7, None),
        (10, 0, 8, "slow"),
        (100, 50, 0, "failed"),
    ],
)
def test_the_thresholds(calls: int, failed: int, slow: int, says: str | None) -> None:
    assert too_much(CallCounts(calls, failed, slow)) == says


def test_a_cancelled_trial_gives_its_place_back() -> None:
    clock = Clock()
    breaker = _breaker(clock)
    for _ in range(5):
        _call(breaker, "connection")
    clock.now_s += 1
    permits = [breaker.acquire() for _ in range(4)]
    assert [p is not None for p in permits] == [True, True, True, False]
    assert permits[0] is not None
    permits[0].released()
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.acquire() is not None


def test_one_bad_trial_of_three_does_not_shut_it_out_again() -> None:
    clock = Clock()
    breaker = _breaker(clock)
    for _ in range(5):
        _call(breaker, "connection")
    clock.now_s += 1
    for how in ("failed", "ok", "ok"):
        _call(breaker, how)
    assert breaker.state is BreakerState.CLOSED


def test_a_late_answer_moves_no_newer_state() -> None:
    breaker = _breaker(Clock())
    late = breaker.acquire()
    for _ in range(5):
        _call(breaker, "connection")
    assert late is not None
    late.succeeded()
    assert breaker.state is BreakerState.OPEN


def test_open_times_double_up_to_their_limit_and_jitter_lengthens_them() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock, Chance(0.5))
    for _ in range(5):
        _call(breaker, "connection")
    open_times = []
    for _ in range(7):
        open_times.append(breaker.retry_in_s)
        clock.now_s += breaker.retry_in_s
        _call(breaker, "failed")
        _call(breaker, "failed")
    assert open_times == pytest.approx([1.1, 2.2, 4.4, 8.8, 17.6, 33, 33])


def test_the_only_replica_is_tried_again_soon_however_often_it_has_failed() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock, Chance(), others_serve=lambda: False)
    for _ in range(5):
        _call(breaker, "connection")
    for _ in range(5):
        assert breaker.retry_in_s == 1
        clock.now_s += 1
        _call(breaker, "failed")
        _call(breaker, "failed")


def test_a_permit_ends_once() -> None:
    permit = _breaker(Clock()).acquire()
    assert permit is not None
    permit.succeeded()
    with pytest.raises(RuntimeError, match="ended already"):
        permit.released()


def test_a_forced_breaker_stays_as_it_is_told() -> None:
    breaker = _breaker(Clock())
    breaker.force(BreakerState.FORCED_CLOSED)
    for _ in range(20):
        _call(breaker, "connection")
    assert breaker.lets_through
    breaker.force(BreakerState.FORCED_OPEN)
    assert breaker.acquire() is None


def test_sixty_calls_that_a_pause_made_fail_keep_the_breaker_open_for_little_more_than_a_second() -> None:
    clock = Clock()
    breaker = _breaker(clock)
    permits = [breaker.acquire() for _ in range(60)]
    clock.now_s += 60
    for permit in permits:
        assert permit is not None
        permit.failed()
    states = [breaker.state]
    clock.now_s += OPEN_BASE_S * (1 + OPEN_JITTER)
    for _ in range(2):
        _call(breaker, "ok")
    states.append(breaker.state)
    for _ in range(9):
        _call(breaker, "failed")
    assert [*states, breaker.state] == [BreakerState.OPEN, BreakerState.CLOSED, BreakerState.CLOSED]


def test_what_failed_before_a_window_has_passed_is_forgotten() -> None:
    clock = Clock()
    breaker = _breaker(clock)
    for _ in range(9):
        _call(breaker, "failed")
    clock.now_s += WINDOW_S
    for _ in range(9):
        _call(breaker, "failed")
    assert breaker.state is BreakerState.CLOSED


def test_the_longest_open_time_ends_however_much_has_failed() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock, Chance(0.999))
    for _ in range(5):
        _call(breaker, "connection")
    for _ in range(40):
        clock.now_s += breaker.retry_in_s
        _call(breaker, "failed")
        _call(breaker, "failed")
    assert 30 <= breaker.retry_in_s <= 36
    clock.now_s += 36
    for _ in range(2):
        _call(breaker, "ok")
    assert breaker.state is BreakerState.CLOSED
