"""An event loop that one call keeps for ever is told from one that turns, and from a process that was paused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from splitway.http.heartbeat import LOOKS_EVERY_S, Heartbeat, Pauses
from splitway.http.lifecycle import Lifecycle
from tests.splitway.runtime.clock import Clock


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle(lambda: None)


def stays_in_one_call_for(heartbeat: Heartbeat, clock: Clock, seconds: float) -> str | None:
    """What is found in this time, in which the loop has no turn."""
    for _ in range(int(seconds / LOOKS_EVERY_S)):
        clock.pass_(LOOKS_EVERY_S)
        if (reason := heartbeat.look()) is not None:
            return reason
    return None


async def test_a_loop_that_is_kept_for_too_long_is_named_with_what_keeps_it(lifecycle: Lifecycle) -> None:
    clock = Clock()
    heartbeat = Heartbeat(30, lifecycle, clock)
    assert stays_in_one_call_for(heartbeat, clock, 30.5) is None
    reason = str(stays_in_one_call_for(heartbeat, clock, 1))
    assert reason.startswith("the event loop hangs: for 30 s it has been in ")
    assert "stays_in_one_call_for (" in reason
    assert reason.endswith(", and 30 s are allowed")


async def test_a_loop_that_has_its_turns_may_be_as_slow_as_it_likes(lifecycle: Lifecycle) -> None:
    clock = Clock()
    heartbeat = Heartbeat(30, lifecycle, clock)
    for _ in range(10):
        assert stays_in_one_call_for(heartbeat, clock, 29) is None
        await asyncio.sleep(0)


async def test_a_process_that_was_paused_goes_on(lifecycle: Lifecycle) -> None:
    clock = Clock()
    heartbeat = Heartbeat(30, lifecycle, clock)
    heartbeat.look()
    for _ in range(5):
        clock.pass_(3600)
        assert heartbeat.look() is None
    assert stays_in_one_call_for(heartbeat, clock, 20) is None
    assert stays_in_one_call_for(heartbeat, clock, 20) is not None


class Turns(threading.Event):
    """Time that passes whenever a thread waits for its next turn."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._left = 1000

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.pass_(timeout)
        self._left -= 1
        return not self._left


async def test_a_thread_that_has_its_turns_takes_no_time_for_a_pause(lifecycle: Lifecycle) -> None:
    clock, ended = Clock(), threading.Event()
    lifecycle.last_resort = ended.set
    heartbeat = Heartbeat(30, lifecycle, clock)
    heartbeat._stopped = Turns(clock)
    heartbeat.pauses.look()
    heartbeat._run()
    assert ended.is_set()
    assert clock() == 1000 + 31


async def test_a_process_whose_loop_hangs_is_ended_and_the_log_says_why(
    lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()
    lifecycle.last_resort = ended.set
    Heartbeat(0.001, lifecycle).start()
    assert ended.wait(10)  # on the event loop, which stands still meanwhile
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("the event loop hangs: for ")
    assert line.endswith("(SPLITWAY_MAX_RUN_S); the process ends")


async def test_what_was_stopped_looks_no_more(lifecycle: Lifecycle) -> None:
    before = set(threading.enumerate())
    heartbeat = Heartbeat(30, lifecycle)
    heartbeat.start()
    (thread,) = set(threading.enumerate()) - before
    heartbeat.stop()
    thread.join(10)
    assert not thread.is_alive()


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


SPINS = """
import splitway.cli.operate.serve as serve

async def spins(self, counter):
    while True:
        pass

serve._Server.on_tick = spins
serve.serve("gateway", "127.0.0.1", 0, fd=None, drain_s=0)
"""


def test_a_gateway_whose_loop_spins_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_MAX_RUN_S", "0.5")
    ended = subprocess.run([sys.executable, "-c", SPINS], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "the event loop hangs: for 1 s it has been in spins (" in ended.stdout + ended.stderr
