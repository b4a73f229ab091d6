"""The command line as a whole: its help, what it says of mistyped words, and a stdout that takes nothing."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from splitway.cli.main import GROUPS, app
from splitway.version import __version__

COMMAND = [sys.executable, "-m", "splitway.cli.main"]


def _walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _walk(below, (*words, name))


EVERY = dict(_walk(get_command(app)))


def _help(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(app, [*words, "-h"], prog_name="splitway")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_commands_are_in_groups_in_the_order_of_use() -> None:
    text = _help(())
    found = re.findall(r"^(\w[\w-]*):$|^  ([a-z-]+)  ", text.partition("Options:")[0], re.MULTILINE)
    listed = [heading or command for heading, command in found]
    assert listed[:4] == ["Models", "build", "inspect", "split"]
    assert [word for word in listed if word in GROUPS] == list(GROUPS)
    assert set(listed) - set(GROUPS) == set(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_help_fits_80_columns_and_says_no_types_of_python(words: tuple[str, ...]) -> None:
    text = _help(words)
    assert max(len(line) for line in text.splitlines() if not line.startswith("  splitway ")) <= 80
    assert not re.search(r"<\w|BOOLEAN|\bbool\b", text)
    assert f"Usage: {shlex.join(('splitway', *words))} [OPTIONS]" in text


@pytest.mark.parametrize(
    "words", [words for words, each in EVERY.items() if not hasattr(each, "commands")], ids=" ".join
)
def test_each_command_has_an_example_that_it_understands(words: tuple[str, ...]) -> None:
    _, _, block = _help(words).partition("\nExamples:\n")
    examples = [line.strip() for line in block.partition("\n\n")[0].splitlines()]
    assert any(example.startswith(shlex.join(("splitway", *words))) for example in examples)
    for example in examples:
        _check_understood(re.split(r"[|;>)\"']", example.partition("splitway ")[2])[0].split())


def _check_understood(called: list[str]) -> None:
    words = max((words for words in EVERY if tuple(called[: len(words)]) == words), key=len)
    known = {name for each in EVERY[words].params for name in each.opts}
    given = {part.partition("=")[0] for part in called if part.startswith("-") and part != "-"}
    assert words
    assert given <= known, f"{called} has unknown options"


def test_the_version_has_a_short_option() -> None:
    assert CliRunner().invoke(app, ["-V"]).stdout == f"splitway {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["spilt"], "No such command 'spilt'. Did you mean 'split'?"),
        (["release", "promot"], "Did you mean 'promote'?"),
        (["split", "model.keras", "--label", "x"], "No such option: --label. Did you mean --labels?"),
        (["inspect", "--lable", "x"], "No such option: --lable\n"),
        (["demo"], "Missing argument FILES.\n"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest_if_one_is_near(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["split", "--help"], ["release", "list", "--json"]], ids=" ".join)
def test_a_full_disk_is_one_line_and_a_closed_pipe_none(arguments: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        told = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (told.returncode, told.stderr) == (1, b"splitway: No space left on device\n")
    with subprocess.Popen([*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.close()
        left.stdout = None
        assert (left.communicate()[1], left.returncode) == (b"", 1)
