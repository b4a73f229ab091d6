"""The time of a row is estimated well enough, and callers share a batch who may."""

from __future__ import annotations

import pytest

from splitway.runtime.batching.learned import Sharing, corrected, still_holds
from tests.splitway.runtime.clock import Clock


def test_the_first_measurement_counts_as_it_is() -> None:
    assert corrected(0.0, 0.25, 0.0) == 0.25


def test_one_stall_does_not_raise_it_by_much() -> None:
    assert corrected(0.005, 60.0, 0.0) < 0.01


def test_too_low_is_raised_by_what_is_measured() -> None:
    estimate_s = 0.001
    for _ in range(40):
        estimate_s = corrected(estimate_s, 1.0, 0.0)
    assert estimate_s == pytest.approx(1.0, rel=0.1)


def test_too_high_falls_within_a_few_measurements() -> None:
    estimate_s = 5.0
    for _ in range(10):
        estimate_s = corrected(estimate_s, 0.005, 0.0)
    assert estimate_s < 0.2


def test_what_is_old_counts_little_beside_what_is_new() -> None:
    assert corrected(5.0, 0.005, 60.0) < 0.1
    assert corrected(0.005, 0.02, 600.0) == pytest.approx(0.02, rel=0.01)


def test_it_is_forgotten_by_time() -> None:
    assert still_holds(0.0) == 1.0
    assert still_holds(10.0) == 0.5
    assert still_holds(100.0) < 0.001


def test_a_failure_now_and_then_costs_nothing() -> None:
    clock = Clock()
    sharing = Sharing(clock)
    for _ in range(100):
        sharing.failed("a")
        assert sharing.may_share("a")
        clock.pass_(20)


def test_failures_in_a_row_set_apart_and_time_lets_in_again_however_many_there_were() -> None:
    clock = Clock()
    sharing = Sharing(clock)
    for _ in range(1000):
        sharing.failed("a")
    assert not sharing.may_share("a")
    assert sharing.may_share("b")
    assert sharing.apart == 1
    clock.pass_(30)
    assert sharing.may_share("a")


def test_what_is_remembered_is_bounded() -> None:
    sharing = Sharing(Clock(), callers=10)
    for number in range(1000):
        for _ in range(4):
            sharing.failed(str(number))
    assert sharing.apart == 10
    assert sharing.may_share("989")
    assert not sharing.may_share("990")
