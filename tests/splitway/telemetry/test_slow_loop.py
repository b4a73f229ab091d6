"""What keeps an event loop from its work is found out and named."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from splitway.telemetry.slow_loop import SlowLoop, stack_of


def _work_for(seconds: float) -> None:
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


async def test_a_call_that_keeps_the_loop_is_logged_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    slow_loop = SlowLoop(20)
    _work_for(0.3)
    await asyncio.sleep(0)  # the loop looks at the clock before it comes back here
    await asyncio.sleep(0)
    slow_loop.close()
    line = caplog.records[0].getMessage()
    assert "stood still for" in line
    assert "_work_for" in line


async def test_a_loop_that_is_closed_is_looked_at_no_more() -> None:
    before = threading.active_count()
    slow_loop = SlowLoop(1000)
    assert threading.active_count() == before + 1
    slow_loop.close()
    assert threading.active_count() == before


def test_the_innermost_calls_are_told() -> None:
    told = stack_of(threading.get_ident(), 2)
    assert told.startswith("stack_of (")
    assert " < test_the_innermost_calls_are_told (" in told
    assert told.count(" < ") == 1


def test_a_thread_that_has_ended_stands_nowhere() -> None:
    assert stack_of(-1, 5) == ""
