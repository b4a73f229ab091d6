"""`python -m splitway`, and what an older Python is told."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import splitway
from splitway.process.child import python

PACKAGE = Path(splitway.__file__).parent
AS_OLD = "import sys; sys.version_info = (3, 9, 18); sys.argv = [{!r}]; import splitway"


def test_it_is_the_command(tmp_path: Path) -> None:
    ran = subprocess.run(python("-m", "splitway", "--help"), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Usage: splitway [OPTIONS]" in ran.stdout


@pytest.mark.parametrize("command", [python("-m", "splitway"), [str(Path(sys.executable).with_name("splitway"))]])
def test_ctrl_c_ends_it_quietly_while_it_is_imported(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ran = subprocess.run(
        [*command, "--version"], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, b"", b"")


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_an_old_python_can_read_what_it_meets(name: str) -> None:
    ast.parse((PACKAGE / name).read_text(), feature_version=(3, 7))


def test_an_old_python_is_told_so_in_one_line(tmp_path: Path) -> None:
    """By the command as its last word, and by an import as an error that programs can catch."""
    said = "Splitway needs Python 3.11 or newer, and this is 3.9"
    as_command, imported = (
        subprocess.run(
            [sys.executable, "-c", AS_OLD.format(first)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        for first in ("-m", "-c")
    )
    assert (as_command.returncode, as_command.stderr.strip()) == (1, said)
    assert imported.stderr.strip().splitlines()[-1] == f"ImportError: {said}"
