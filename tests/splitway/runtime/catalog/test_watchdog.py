"""A process that can no longer answer is told from one that is slow, or was paused."""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import pytest

from splitway.http.heartbeat import LOOKS_EVERY_S
from splitway.http.lifecycle import Lifecycle
from splitway.runtime.catalog.served import ServedBundle
from splitway.runtime.catalog.watchdog import Watchdog
from tests.splitway.runtime.clock import Clock


class Model:
    def __init__(self) -> None:
        self.label = "classifier version 3"
        self.closed = asyncio.Event()

    async def close(self) -> None:
        self.closed.set()

    @property
    def served(self) -> ServedBundle:
        return cast("ServedBundle", self)


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle(lambda: None)


def look_for(watchdog: Watchdog, clock: Clock, seconds: float) -> str | None:
    """What a watchdog that looks twice a second finds in this time."""
    for _ in range(int(seconds / LOOKS_EVERY_S)):
        clock.pass_(LOOKS_EVERY_S)
        if (trouble := watchdog.look()) is not None:
            return trouble
    return None


def test_one_run_that_takes_too_long_is_named(lifecycle: Lifecycle) -> None:
    clock = Clock()
    watchdog = Watchdog(30, lifecycle, list, clock)
    watchdog.runs.begin("classifier version 3")
    assert look_for(watchdog, clock, 30) is None
    assert look_for(watchdog, clock, 1) == "classifier version 3 hangs: one run has taken 30 s, and 30 s are allowed"


def test_many_slow_runs_one_after_the_other_are_work(lifecycle: Lifecycle) -> None:
    clock = Clock()
    watchdog = Watchdog(30, lifecycle, list, clock)
    for _ in range(10):
        watchdog.runs.begin("classifier version 3")
        assert look_for(watchdog, clock, 29) is None


def test_a_run_of_many_rows_may_take_more(lifecycle: Lifecycle) -> None:
    clock = Clock()
    watchdog = Watchdog(30, lifecycle, list, clock)
    watchdog.runs.begin("classifier version 3", more_s=64)
    assert look_for(watchdog, clock, 94) is None
    assert look_for(watchdog, clock, 1) == "classifier version 3 hangs: one run has taken 94 s, and 94 s are allowed"


def test_a_process_that_was_paused_is_not_ended(lifecycle: Lifecycle) -> None:
    clock = Clock()
    watchdog = Watchdog(30, lifecycle, list, clock)
    watchdog.pauses.look()
    watchdog.runs.begin("classifier version 3")
    for _ in range(5):
        clock.pass_(60)
        assert watchdog.hangs() is None  # before the pause has been looked for, and after
        assert watchdog.look() is None
    assert watchdog.runs.paused_s(1000, clock()) == pytest.approx(5 * 60 - 5 * LOOKS_EVERY_S)  # for a row's time, too
    assert look_for(watchdog, clock, 20) is None
    assert look_for(watchdog, clock, 20) is not None


def test_without_a_limit_nothing_hangs(lifecycle: Lifecycle) -> None:
    clock = Clock()
    watchdog = Watchdog(0, lifecycle, list, clock)
    watchdog.runs.begin("classifier version 3")
    assert look_for(watchdog, clock, 1000) is None


async def test_a_process_that_hangs_says_so_and_answers_those_who_wait(
    lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture
) -> None:
    model = Model()
    other = Model()
    other.label = "classifier version 33"
    watchdog = Watchdog(0.001, lifecycle, lambda: [other.served, model.served])
    watchdog.runs.begin(model.label)
    watchdog.start()
    async with asyncio.timeout(10):
        await model.closed.wait()
    assert not other.closed.is_set()
    assert lifecycle.hang == lifecycle.not_ready_because
    assert str(lifecycle.hang).startswith("classifier version 3 hangs: one run has taken")
    watchdog.stop()
    assert lifecycle.is_stuck
    assert [record.message for record in caplog.records] == [
        f"{lifecycle.hang} (SPLITWAY_MAX_RUN_S); the process ends",
        "classifier version 3 could not be stopped and is given up",
    ]


async def test_a_process_whose_loop_hangs_as_well_is_ended_by_the_last_resort(lifecycle: Lifecycle) -> None:
    ended = threading.Event()
    lifecycle.last_resort = ended.set
    watchdog = Watchdog(0.001, lifecycle, list, ends_within_s=0.0)
    watchdog.runs.begin("classifier version 3")
    watchdog.start()
    assert ended.wait(10)  # on the event loop, which stands still meanwhile
    watchdog.stop()


def test_what_has_ended_in_time_leaves_nothing_behind(lifecycle: Lifecycle) -> None:
    watchdog = Watchdog(30, lifecycle, list)
    watchdog.stop()
    assert not lifecycle.is_stuck
    watchdog.stop(loading=True)
    assert lifecycle.is_stuck
