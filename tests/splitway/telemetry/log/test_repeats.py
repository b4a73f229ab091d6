"""What a stranger may provoke as often as he likes fills no disk."""

from __future__ import annotations

import logging

from splitway.telemetry.log.repeats import Repeats


class Clock:
    """Stands until it is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _line(name: str, lineno: int = 1, *, defect: bool = False) -> logging.LogRecord:
    trace = (ValueError, ValueError(), None) if defect else None
    return logging.LogRecord(name, logging.WARNING, "/library.py", lineno, "odd", (), trace)


def _passed(repeats: Repeats, count: int, name: str, lineno: int = 1, *, defect: bool = False) -> int:
    return sum(repeats.filter(_line(name, lineno, defect=defect)) for _ in range(count))


def test_of_a_librarys_line_the_first_of_each_second_are_logged_and_the_others_counted() -> None:
    clock = Clock()
    repeats = Repeats(clock, per_second=5)
    assert _passed(repeats, 1000, "uvicorn.error") == 5
    clock.now_s = 1.0
    first, second = _line("uvicorn.error"), _line("uvicorn.error")
    assert repeats.filter(first)
    assert repeats.filter(second)
    assert vars(first)["left_out"] == 995
    assert "left_out" not in vars(second)


def test_each_place_in_the_code_has_its_own_count() -> None:
    repeats = Repeats(Clock(), per_second=5)
    assert _passed(repeats, 10, "uvicorn.error", lineno=1) == 5
    assert _passed(repeats, 10, "uvicorn.error", lineno=2) == 5


def test_of_ours_only_stack_traces_are_counted() -> None:
    repeats = Repeats(Clock(), per_second=5)
    assert _passed(repeats, 100, "splitway.request") == 100
    assert _passed(repeats, 100, "splitway.http.fast_routes", defect=True) == 5
