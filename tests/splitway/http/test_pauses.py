"""Time in which the process stood still is found, whoever looks at the clock first."""

from __future__ import annotations

from splitway.http.pauses import LOOKS_EVERY_S, Pauses
from tests.splitway.runtime.clock import Clock


def test_a_process_that_runs_has_no_pauses() -> None:
    clock = Clock()
    pauses = Pauses(clock)
    for _ in range(20):
        pauses.look()
        clock.pass_(LOOKS_EVERY_S)
    assert pauses.within(1000, clock()) == 0


def test_a_pause_is_known_before_the_thread_that_looks_has_had_its_turn() -> None:
    clock = Clock()
    pauses = Pauses(clock)
    pauses.look()
    clock.pass_(60)
    assert pauses.within(1000, clock()) == 60 - LOOKS_EVERY_S
    pauses.look()
    assert pauses.within(1000, clock()) == 60 - LOOKS_EVERY_S  # and counts once


def test_of_a_pause_only_what_lies_within_counts() -> None:
    clock = Clock()
    pauses = Pauses(clock)
    pauses.look()
    clock.pass_(60.5)
    pauses.look()
    assert pauses.within(1010, 1020) == 10
    assert pauses.within(1059, 1060.5) == 1
    assert pauses.within(1060.5, 1070) == 0


def test_what_nobody_looks_at_is_no_pause() -> None:
    clock = Clock()
    pauses = Pauses(clock)
    clock.pass_(60)
    assert pauses.within(1000, clock()) == 0
    pauses.look()
    pauses.forget()
    clock.pass_(60)
    assert pauses.within(1000, clock()) == 0


def test_what_is_remembered_is_bounded() -> None:
    clock = Clock()
    pauses = Pauses(clock)
    for _ in range(1000):
        pauses.look()
        clock.pass_(10)
    assert len(pauses._kept) == 64
