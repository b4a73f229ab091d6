"""Where a thread stands is told from the innermost call on."""

from __future__ import annotations

import threading

from splitway.telemetry.stack import stack_of


def test_the_innermost_calls_are_told() -> None:
    told = stack_of(threading.get_ident(), 2)
    assert told.startswith("stack_of (")
    assert " < test_the_innermost_calls_are_told (" in told
    assert told.count(" < ") == 1


def test_a_thread_that_has_ended_stands_nowhere() -> None:
    assert stack_of(-1, 5) == ""
