"""A reader's terminals: commands one after the other in a folder, and what runs beside them until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

PORT = 8080
"""Where the pages have the gateway listen."""
COMMAND_S = 900.0
"""Of one command; images are built within it."""
_END_S = 60.0
_SHOWN_LINES = 40


class CommandFailed(Exception):
    """A command did not do what the page says; the text has the end of what it printed."""


class Shell:
    """Runs commands as a reader types them: what one exports, and where it goes, is there for the next.

    Args:
        folder: where the first command runs.
        scratch: for what the shell keeps between commands; not `folder`, which is the reader's.
        environment: of the first command.
        port: where what stays listens.
    """

    def __init__(self, folder: Path, scratch: Path, environment: Mapping[str, str], port: int = PORT) -> None:
        self.folder = folder
        self.port = port
        self._scratch = scratch
        self._state = scratch / "state.sh"
        self._environment = dict(environment)
        self._beside: Beside | None = None

    def run(self, command: str, timeout_s: float = COMMAND_S) -> str:
        """Run a command to its end and return what it prints. Raises CommandFailed."""
        said = self._scratch / "said.txt"
        with said.open("w+") as out:
            started = self._start(command, out)
            try:
                code = started.wait(timeout_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _kill_group(started)
        printed = said.read_text(errors="replace")
        if code is None:
            raise CommandFailed(f"it did not end within {timeout_s:.0f} s\n{_end_of(printed)}")
        if code != 0:
            raise CommandFailed(f"it ended with {code}\n{_end_of(printed)}")
        return printed

    def run_beside(self, command: str, ready_s: float = COMMAND_S) -> str:
        """Start what stays, in place of what stayed before; return what it has printed when its gateway
        is ready. Raises CommandFailed."""
        self.end_beside()
        refuse_taken_port(self.port)
        log = (self._scratch / "beside.txt").open("w+")
        self._beside = Beside(self._start(command, log), log, self.port)
        return self._beside.wait_ready(ready_s)

    def end_beside(self) -> None:
        """Press Ctrl-C where something stays. Raises CommandFailed if it does not end, or leaves something."""
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.end()

    def _start(self, command: str, out: IO[str]) -> subprocess.Popen[str]:
        state = shlex.quote(str(self._state))
        keep = f'{{ export -p; printf "cd %q\\n" "$PWD"; }} > {state}'
        script = f"[ ! -f {state} ] || . {state}\nset -eo pipefail\n{command}\n{keep}\n"
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


class Beside:
    """A command that runs until Ctrl-C, in a process group of its own."""

    def __init__(self, started: subprocess.Popen[str], log: IO[str], port: int) -> None:
        self._started = started
        self.port = port
        self._log = log

    def wait_ready(self, within_s: float) -> str:
        """Wait until the gateway on the page's port is ready; return what was printed by then. Raises CommandFailed."""
        gives_up_s = time.monotonic() + within_s
        while not _is_ready(self.port):
            if self._started.poll() is not None:
                raise CommandFailed(f"it ended with {self._started.returncode} and was to stay\n{self._said()}")
            if time.monotonic() > gives_up_s:
                self.end()
                raise CommandFailed(f"no gateway is ready on port {self.port} after {within_s:.0f} s\n{self._said()}")
            time.sleep(0.2)
        return self._said()

    def end(self) -> None:
        """Press Ctrl-C, which the whole group gets. Raises CommandFailed for what is left a minute later."""
        with suppress(ProcessLookupError):
            os.killpg(self._started.pid, signal.SIGINT)
        try:
            self._started.wait(_END_S)
            gives_up_s = time.monotonic() + 5
            while _group_lives(self._started.pid) and time.monotonic() < gives_up_s:
                time.sleep(0.05)
            if _group_lives(self._started.pid):
                raise CommandFailed(f"it ended on Ctrl-C, and processes of it are left\n{self._said()}")
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"it did not end within {_END_S:.0f} s of Ctrl-C\n{self._said()}") from error
        finally:
            _kill_group(self._started)
            self._log.close()

    def _said(self) -> str:
        return _end_of(Path(self._log.name).read_text(errors="replace"))


def refuse_taken_port(port: int = PORT) -> None:
    """Raise CommandFailed if another process listens where the pages have the gateway listen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            do = f"stop what listens there (ss -ltnp 'sport = :{port}')"
            raise CommandFailed(f"port {port}, which the pages use, is taken ({error.strerror}): {do}") from error


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _kill_group(started: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def _end_of(printed: str) -> str:
    lines = printed.rstrip().splitlines()
    return "\n".join(lines[-_SHOWN_LINES:])
