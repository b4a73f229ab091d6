"""Tab in real shells: commands, options, choices, names and files."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testkit.support import splitway

LINES = [
    ("rel", {"release"}),
    ("release ", {"create", "canary", "promote"}),
    ("split --ra", {"--range"}),
    ("split --resample bi", {"bilinear", "bicubic"}),
    ("release promote wi", {"winter"}),
    ("up --replicas body", {"body_1=2"}),
    ("split flow", {"flowers.keras"}),
    ("down --name tr", {"trial"}),
    ("logs fe", {"feature_extractor"}),
]
"""What is typed before Tab, and what is offered, among others."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model, a bundle's folder and releases, and `splitway` on the path."""
    (tmp_path / "flowers.keras").touch()
    (tmp_path / "models" / "body_1").mkdir(parents=True)
    names: dict[object, object] = {"autumn": {}, "winter": {}, f"wi\\$(touch {tmp_path}/run-by-tab)": {}, 7: {}}
    (tmp_path / "models" / "releases.json").write_text(json.dumps({"releases": names}))
    (tmp_path / ".splitway").mkdir()
    (tmp_path / ".splitway" / "run-trial.log").touch()
    (tmp_path / ".splitway" / "run-$(id).log").touch()
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "splitway"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m splitway "$@"\n')
    command.chmod(0o755)
    return tmp_path


def _environment(place: Path) -> dict[str, str]:
    root = Path(__file__).parents[4]
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(place), "PYTHONPATH": str(root), "TERM": "dumb", "LANG": "C.UTF-8"}


def _run(shell: str, script: str, place: Path) -> str:
    options = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    command = [shell, *options, "-c", script]
    result = subprocess.run(
        command, cwd=place, env=_environment(place), capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash: apt-get install bash")
def test_bash_completes(place: Path) -> None:
    asks = [
        f"COMP_WORDS=(splitway {_words(line)}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        "_splitway_completion splitway; echo ${COMPREPLY[*]:-$(compgen -f ${COMP_WORDS[COMP_CWORD]})}"
        for line, _ in LINES
    ]
    said = _run("bash", 'eval "$(splitway completion bash)"; complete -p splitway >&2; ' + "; ".join(asks), place)
    for (line, offered), answer in zip(LINES, said.splitlines(), strict=True):
        assert offered <= set(answer.split()), line


def _words(line: str) -> str:
    return f"{line}''" if line.endswith(" ") else line


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish: apt-get install fish")
def test_fish_completes(place: Path) -> None:
    asks = "; ".join(f"complete -C 'splitway {line}'; echo ---" for line, _ in LINES)
    said = _run("fish", f"splitway completion fish | source; {asks}", place)
    for (line, offered), answer in zip(LINES, said.split("---\n"), strict=False):
        assert offered <= {each.partition("\t")[0] for each in answer.splitlines()}, line


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh: apt-get install zsh")
def test_zsh_completes(place: Path) -> None:
    """At a terminal, for which zsh alone completes: each line is typed, and Tab, and what is shown is read."""
    script = 'autoload -Uz compinit; compinit -u -D; eval "$(splitway completion zsh)"; echo re""ady\n'
    with _Typist(["zsh", "-f", "-i"], place) as zsh:
        zsh.type(script)
        zsh.until("ready")
        for line, offered in LINES:
            zsh.type(f"splitway {line}\t")
            zsh.until(*offered)
            zsh.type("\x15")
    assert not (place / "run-by-tab").exists(), "a name in a file was run"


class _Typist:
    """A shell at a terminal of its own."""

    def __init__(self, command: list[str], place: Path) -> None:
        self._terminal, inside = pty.openpty()
        environment = {**_environment(place), "COLUMNS": "200"}
        self._shell = subprocess.Popen(
            command, cwd=place, env=environment, stdin=inside, stdout=inside, stderr=inside, start_new_session=True
        )
        os.close(inside)
        self._shown = ""

    def __enter__(self) -> _Typist:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._terminal)

    def type(self, text: str) -> None:
        self._shown = ""
        os.write(self._terminal, text.encode())

    def until(self, *words: str) -> None:
        """Read until these words are shown."""
        deadline_s = time.monotonic() + 30
        while not all(word in self._shown for word in words):
            left_s = deadline_s - time.monotonic()
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, left_s))
            assert ready, f"{words} are not among: {self._shown}"
            self._shown += os.read(self._terminal, 65536).decode(errors="replace")


def test_a_shell_that_is_none_is_told_which_there_are() -> None:
    result = splitway("completion", "tcsh")
    assert result.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
    assert "Value error" not in result.stderr
