"""Text from elsewhere does not move a terminal."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path

import pytest
import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from splitway.cli.ask import classify, unread
from splitway.cli.ask.classify import PictureResult, print_table
from splitway.cli.console import Steps, Terminal, if_interrupted, one_line_errors
from splitway.errors import InvalidInput

ATTACKS = ["\x1b[2J\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\r", "\u202egpj", "\x00", "\x7f"]
HARMLESS = "Ägyptische Katze 🐈"


def _shown(*what: object) -> str:
    screen = io.StringIO()
    Terminal(file=screen, force_terminal=False, width=200, soft_wrap=True).print(*what)
    return screen.getvalue()


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_whatever_is_drawn_is_printable(attack: str) -> None:
    table = Table("label")
    table.add_row(f"a{attack}b")
    for drawn in (f"a{attack}b", Text(f"a{attack}b"), table, Panel(f"a{attack}b")):
        assert all(c.isprintable() or c == "\n" for c in _shown(drawn)), ascii(_shown(drawn))


def test_what_is_printable_stays_as_it_is() -> None:
    assert _shown(HARMLESS) == f"{HARMLESS}\n"


def test_colours_of_ones_own_stay() -> None:
    screen = io.StringIO()
    Terminal(file=screen, force_terminal=True, color_system="standard", highlight=False).print("[red]a\x1b[2Jb[/]")
    assert screen.getvalue() == "\x1b[31ma\\x1b[2Jb\x1b[0m\n"


def test_a_table_to_a_pipe_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table, paper = Table("release", "versions", box=None), io.StringIO()
    table.add_row("r" * 64, "classifier 2, " * 30)
    Terminal(file=paper).print(table)
    assert len(paper.getvalue().splitlines()) == 2
    screen = io.StringIO()
    Terminal(file=screen, force_terminal=True, width=80, color_system=None).print(table)
    assert max(map(len, screen.getvalue().splitlines())) <= 80


def _prediction(label: str) -> dict[str, object]:
    return {"label": label, "index": 1, "confidence": 0.5}


@pytest.mark.parametrize("attack", [*ATTACKS, "\n"], ids=ascii)
def test_labels_heads_names_and_details_are_shown_in_one_printable_line(
    attack: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, module in (("OUT", classify), ("ERR", unread)):
        monkeypatch.setattr(module, name, Terminal(stderr=name == "ERR", width=200, highlight=False))
    evil = f"a{attack}b"
    answer = {"predictions": [_prediction(evil), _prediction(evil)]}
    heads = {evil: answer, "bad": {"error": {"detail": evil}}}
    print_table(
        [
            PictureResult.of(Path(evil), {"heads": heads, "timings_ms": {"total": 1}}),
            PictureResult(Path(evil), error=evil),
        ]
    )
    out, err = capsys.readouterr()
    assert all(c.isprintable() or c == "\n" for c in out + err)
    assert (len(out.splitlines()), len(err.splitlines())) == (2, 2)
    assert out.count(f"a\\x{ord(attack[0]):02x}") == 4


def test_errors_and_steps_are_printable_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), one_line_errors():
        raise InvalidInput("a\x1b[2Jb")
    Steps().say("a\x1b[2Jb")
    assert capsys.readouterr().err.count("a\\x1b[2Jb") == 2


def test_an_interrupt_is_one_whatever_foreign_code_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]

    def stopped_in_an_import_of_cpp() -> None:
        with Steps():
            try:
                signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt as error:
                raise SystemError("returned a result with an exception set") from error

    try:
        with pytest.raises(KeyboardInterrupt):
            stopped_in_an_import_of_cpp()
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def test_an_interrupted_command_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, one_line_errors(), if_interrupted():
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr() == ("", "splitway: interrupted: nothing half-made is left\n")
