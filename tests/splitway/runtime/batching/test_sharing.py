"""Who may share a batch."""

from __future__ import annotations

from splitway.runtime.batching.sharing import Sharing, SharingPolicy
from tests.splitway.runtime.clock import Clock


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
    sharing = Sharing(Clock(), SharingPolicy(callers=10))
    for number in range(1000):
        for _ in range(4):
            sharing.failed(str(number))
    assert sharing.apart == 10
    assert sharing.may_share("989")
    assert not sharing.may_share("990")
