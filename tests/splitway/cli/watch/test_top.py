"""`splitway top` on a terminal, in a pipe and once, against a gateway that says what a test lets it say."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from testkit.support import free_port, one_line, splitway
from tests.splitway.cli.fake_gateway import Answer, fake_gateway
from tests.splitway.cli.pipelines import UNREACHABLE, pipeline, replica, stage

COMMAND = [sys.executable, "-m", "splitway.cli.main", "top"]
NOT_READY = pipeline(stage("classifier", UNREACHABLE), ready=False, reason="no replica of classifier is ready")
ALTERNATE, MAIN = "\x1b[?1049h", "\x1b[?1049l"
"""What takes a terminal to its other screen and back."""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str, columns: int = 120, lines: int = 30) -> None:
        self._side, other = pty.openpty()
        self._text = ""
        self._other = other
        self.resize(columns, lines)
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C reaches it as from a shell
        )

    @property
    def modes(self) -> int:
        """Whether keys are echoed and gathered to lines."""
        return int(termios.tcgetattr(self._other)[3]) & (termios.ECHO | termios.ICANON)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._side, keys.encode())

    def forget(self) -> None:
        """What was shown until now."""
        self._text = ""

    def until(self, words: str, timeout_s: float = 10.0) -> str:
        """Read until these words are shown; return all that was shown, without colours."""
        deadline_s = time.monotonic() + timeout_s
        while words not in self._text:
            assert time.monotonic() < deadline_s, f"no {words!r} in {self._text[-4000:]!r}"
            if select.select([self._side], [], [], 0.1)[0]:
                self._text += re.sub(r"\x1b\[[0-9;]*m", "", os.read(self._side, 65536).decode(errors="replace"))
        return self._text

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for side in (self._side, self._other):
            os.close(side)


@contextmanager
def _terminal(*arguments: str, **size: int) -> Iterator[Terminal]:
    terminal = Terminal(*arguments, **size)
    try:
        yield terminal
    finally:
        terminal.close()


def _says(*answers: dict[str, Any]) -> Any:
    """A gateway that gives these answers in turn, and the last one for ever."""
    return fake_gateway(lambda n: Answer(content=answers[min(n, len(answers) - 1)]))


@pytest.mark.parametrize("key", ["q", "\x03"], ids=["q", "ctrl-c"])
def test_it_is_drawn_on_the_other_screen_and_the_terminal_is_as_before_after(key: str) -> None:
    with _says(pipeline()) as url, _terminal("--url", url) as terminal:
        before = terminal.modes
        shown = terminal.until("127.0.0.1:8091")
        assert ALTERNATE in shown
        assert "1 238 since start: 1 234 ok" in shown
        assert terminal.modes != before
        terminal.press(key)
        assert MAIN in terminal.until(MAIN)
        assert terminal.process.wait(5) == 0
        assert terminal.modes == before


def test_sigterm_gives_the_terminal_back_too() -> None:
    with _says(pipeline()) as url, _terminal("--url", url) as terminal:
        before = terminal.modes
        terminal.until("q quits")
        terminal.process.send_signal(signal.SIGTERM)
        terminal.until(MAIN)
        assert terminal.process.wait(5) == 0
        assert terminal.modes == before


def test_a_window_that_changes_its_size_is_filled_again_at_once() -> None:
    with _says(pipeline()) as url, _terminal("--url", url, "--interval", "3600", columns=120) as terminal:
        assert re.search(r"╭─ Splitway .{107}╮", terminal.until("q quits"))
        terminal.forget()
        terminal.resize(80, 24)
        assert re.search(r"╭─ Splitway .{67}╮", terminal.until("q quits"))


def test_keys_that_mean_nothing_are_passed_over() -> None:
    with _says(pipeline()) as url, _terminal("--url", url, "--interval", "3600") as terminal:
        terminal.until("q quits")
        terminal.press("x")
        terminal.press("q")
        assert terminal.process.wait(5) == 0


def test_a_gateway_that_comes_and_goes_is_followed() -> None:
    port = free_port()
    with _terminal("--url", f"http://127.0.0.1:{port}", "--interval", "0.2") as terminal:
        terminal.until("✗ not ready: no gateway answers")
        with fake_gateway(lambda _: Answer(content=pipeline(), headers={"connection": "close"}), port):
            terminal.until("✓ ready")
        terminal.forget()
        terminal.until("✗ not ready: no gateway answers")
        terminal.press("q")
        assert terminal.process.wait(5) == 0


def test_a_gateway_that_is_frozen_does_not_hold_q_up_for_long(tmp_path: Path) -> None:
    code = "import socket\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True, cwd=tmp_path) as frozen:
        assert frozen.stdout is not None
        url = f"http://127.0.0.1:{int(frozen.stdout.readline())}"
        with _terminal("--url", url) as terminal:
            terminal.until("✗ not ready: the gateway at", timeout_s=30)
            terminal.press("q")
            terminal.until(MAIN)  # a terminal that is not read holds its writer up
            assert terminal.process.wait(10) == 0
        frozen.kill()


def test_once_prints_one_view_and_ends_by_readiness() -> None:
    with _says(pipeline()) as url:
        ready = splitway("top", "--once", "--url", url)
    with _says(NOT_READY) as url:
        missing = splitway("top", "--once", "--url", url)
    nobody = splitway("top", "--once", "--url", f"http://127.0.0.1:{free_port()}")
    assert [run.returncode for run in (ready, missing, nobody)] == [0, 1, 1]
    assert "1 234 ok" in ready.stdout
    assert "\x1b" not in ready.stdout
    assert "✗ not ready: no replica of classifier is ready" in missing.stdout
    assert "✗ not ready: no gateway answers" in nobody.stdout


def test_once_as_json_is_what_the_gateway_said() -> None:
    with _says(pipeline()) as url:
        line = json.loads(splitway("top", "--once", "--json", "--url", url).stdout)
    assert line["url"] == url
    assert {**line, "at": None, "url": None} == {**pipeline(), "at": None, "url": None}


def test_in_a_pipe_each_look_is_a_line_until_it_is_closed() -> None:
    answers = [pipeline(stage("classifier", replica(8091, in_flight=n)), ready=n > 0) for n in range(3)]
    with _says(*answers) as url:
        command = [*COMMAND, "--url", url, "--interval", "0.2", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            lines = [json.loads(process.stdout.readline()) for _ in range(4)]
            process.stdout.close()
            assert process.wait(5) == 0
            assert process.stderr.read() == ""
    assert [line["ready"] for line in lines] == [False, True, True, True]
    assert all(first["at"] < second["at"] for first, second in pairwise(lines))


def test_plain_lines_go_on_while_nobody_answers_and_end_with_ctrl_c() -> None:
    command = [*COMMAND, "--url", f"http://127.0.0.1:{free_port()}", "--interval", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=5)
    assert process.returncode == 0
    assert err == ""
    assert all("not ready: no gateway answers" in line for line in lines)


def test_an_address_that_is_none_is_one_line() -> None:
    assert "--url takes an address such as" in one_line(splitway("top", "--url", "local host"))


def test_help_teaches_with_examples() -> None:
    text = splitway("top", "--help").stdout
    assert "Examples:\n  splitway top\n  splitway top --once\n" in text
    assert "SPLITWAY_URL" in text


def test_it_stays_small() -> None:
    files = (Path(__file__).parents[4] / "splitway" / "cli" / "watch").glob("*.py")
    assert sum(len(file.read_text().splitlines()) for file in files) <= 350


def test_once_and_interrupted_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen([*COMMAND, "--once", "--url", url], stderr=subprocess.DEVNULL) as process:
            asked, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) != 0
            asked.close()
