"""Loops of known length tell how far a step is."""

from __future__ import annotations

import io
import threading

import pytest

from splitway.cli import console
from splitway.cli.console import Steps, Terminal
from splitway.process.progress import counted, listening, report


def _heard(work: list[int]) -> list[float]:
    heard: list[float] = []
    with listening(heard.append):
        for _ in counted(work):
            pass
    return heard


def test_a_loop_tells_how_many_are_done() -> None:
    assert _heard([1, 2, 3, 4]) == [0.25, 0.5, 0.75, 1.0]
    assert _heard([]) == []


def test_a_loop_inside_tells_its_share_of_what_is_under_way() -> None:
    heard: list[float] = []
    with listening(heard.append):
        for _ in counted("ab"):
            for _ in counted("ab"):
                report(0.5)
    assert heard == [0.125, 0.25, 0.375, 0.5, 0.5, 0.625, 0.75, 0.875, 1.0, 1.0]


def test_a_loop_that_is_left_early_leaves_nothing_behind() -> None:
    for _ in counted([1, 2]):
        break
    assert _heard([1]) == [1.0]


def test_no_thread_hears_another() -> None:
    heard: list[float] = []
    with listening(heard.append):
        other = threading.Thread(target=report, args=(0.5,))
        other.start()
        other.join()
    assert heard == []


def test_a_terminal_shows_a_bar_for_what_is_counted_and_none_before(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "ERR", Terminal(file=screen, force_terminal=True, width=80, highlight=False))
    with Steps() as steps:
        steps.say("proving [the] cut")
        steps._shown.refresh()  # type: ignore[union-attr]
        before = screen.getvalue()
        for _ in counted([1, 2]):
            pass
        steps._shown.refresh()  # type: ignore[union-attr]
    assert "proving [the] cut" in before
    assert "%" not in before
    assert "100 %" in screen.getvalue()[len(before) :]


def test_a_pipe_gets_a_line_for_each_step_and_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Steps() as steps:
        steps.say("proving the cut")
        for _ in counted([1, 2]):
            pass
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("s  proving the cut")
