"""The runner of the pages' commands: it fails where a command fails, and leaves nothing running."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from testkit.support import free_port
from tests.docs.blocks import PageError, blocks_of
from tests.docs.given import MAKERS
from tests.docs.run import run_page
from tests.docs.shell import CommandFailed, Shell, refuse_taken_port

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/tutorial.md", "docs/operations.md")
GATEWAY = """#!/usr/bin/env bash
mkdir -p site && touch site/readyz
exec {python} -m http.server {port} --bind 127.0.0.1 --directory site
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    for name in ("clone", "scratch"):
        (tmp_path / name).mkdir()
    return Shell(tmp_path / "clone", tmp_path / "scratch", {"PATH": os.environ["PATH"]}, free_port())


def _run(shell: Shell, text: str) -> None:
    (shell.folder / "page.md").write_text(text)
    with run_page("page.md", shell):
        pass


def test_what_one_command_exports_and_where_it_goes_is_there_for_the_next(shell: Shell) -> None:
    _run(shell, "```sh\nexport WHAT=tulip && mkdir beds\ncd beds\n```\n\n```console\n$ echo $WHAT > found\n```\n")
    assert (shell.folder / "beds" / "found").read_text() == "tulip\n"


def test_a_command_that_fails_names_page_line_and_what_it_printed(shell: Shell) -> None:
    with pytest.raises(PageError, match=r"^page.md, line 3: echo wilted && false\nit ended with 1\nwilted$"):
        _run(shell, "Text.\n```sh\necho wilted && false\ntouch after\n```\n")
    assert not (shell.folder / "after").exists()


def test_a_block_that_prints_something_else_fails(shell: Shell) -> None:
    with pytest.raises(PageError, match=r"page.md, line 3: the block does not print 'tulip' but\nrose"):
        _run(shell, "<!-- shows: tulip -->\n```console\n$ echo rose\ntulip\n```\n")


def test_what_is_marked_is_not_run_and_named_with_its_reason(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    _run(shell, "<!-- not run: needs a registry -->\n```sh\nfalse\n```\n")
    assert "page.md:3  not run: needs a registry" in capsys.readouterr().out


def test_a_file_that_the_reader_saves_is_there(shell: Shell) -> None:
    _run(shell, "<!-- file: train.py -->\n```python\nprint(1)\n```\n\n```sh\ngrep -q print train.py\n```\n")


def test_a_thing_that_no_maker_knows_is_refused(shell: Shell) -> None:
    with pytest.raises(PageError, match=r"page.md: 'tulips.keras' is given, and tests/docs/given.py makes only"):
        _run(shell, "<!-- given: tulips.keras -->\n```sh\ntrue\n```\n")


def test_what_stays_is_ready_for_the_next_command_and_ended_with_the_page(shell: Shell) -> None:
    program = shell.folder / "splitway"
    program.write_text(GATEWAY.format(python=sys.executable, port=shell.port))
    program.chmod(0o755)
    ask = f"{sys.executable} -c 'import urllib.request as r; r.urlopen(\"http://127.0.0.1:{shell.port}/readyz\")'"
    again = f"./splitway up\n{ask} && touch asked\n./splitway up -d || touch port_was_free"
    program.write_text(program.read_text().replace("exec", "[ -z $2 ] || exit 1; exec"))
    _run(shell, f"```sh\n./splitway up  # in another terminal\n{ask}\n{again}\n```\n")
    assert (shell.folder / "asked").exists()
    refuse_taken_port(shell.port)


def test_what_ends_instead_of_staying_fails(shell: Shell) -> None:
    with pytest.raises(PageError, match=r"(?s)page.md, line 2: splitway\(\) .*it ended with 3 and was to stay\ntaken"):
        _run(shell, "```sh\nsplitway() { echo taken; exit 3; }; splitway up\n```\n")


def test_a_taken_port_is_named_before_anything_is_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CommandFailed, match=f"port {port}, which the pages use, is taken"):
            refuse_taken_port(port)


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_can_be_read_and_what_they_need_can_be_made(page: str) -> None:
    blocks = blocks_of((ROOT / page).read_text(encoding="utf-8"))
    assert not {name for block in blocks for name in block.given} - MAKERS.keys()
