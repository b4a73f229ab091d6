"""A command that goes on in a process of its own, which tells the one that started it how it comes along."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from splitway.cli.console import ERR, Steps, if_interrupted, stop_signal
from splitway.cli.launched.output import open_log
from splitway.errors import SetupError
from splitway.process.child import python

_STEP, _LINE, _FAILED, _DONE = "step", "line", "failed", "done"


class Report:
    """What the detached process tells, until it says that it is done or has failed.

    Args:
        fd: the writing end of a pipe; None where nothing is told, for the command goes on where it was started.
    """

    def __init__(self, fd: int | None = None) -> None:
        if fd is not None:
            os.set_inheritable(fd, False)
        self._pipe = fd

    def step(self, text: str) -> None:
        """Name what is waited for."""
        self._tell(_STEP, text)

    def line(self, text: str) -> None:
        """Have a line printed on stderr."""
        self._tell(_LINE, text)

    def failed(self, text: str) -> None:
        """Have the command end with an error."""
        self._tell(_FAILED, text)
        self._close()

    def done(self, lines: Sequence[str]) -> None:
        """Have the command print these lines, and end."""
        self._tell(_DONE, "\n".join(lines))
        self._close()

    def _tell(self, kind: str, text: str) -> None:
        if self._pipe is not None:
            with suppress(BrokenPipeError):  # the one that started it has gone
                os.write(self._pipe, json.dumps([kind, text]).encode() + b"\n")

    def _close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


def start_detached(command: Callable[[int], list[str]], log: Path) -> str:
    """Start a process that outlives this one, show how it comes along, and return what it has to say at last.

    Args:
        command: given the descriptor that the process's `Report` is for.
        log: where its own output goes.

    Raises:
        SetupError: it failed; nothing of it is left.
        KeyboardInterrupt: this process was interrupted before the other one was ready; nothing of that is left.
    """
    asked = stop_signal()  # an interrupt waits until there is a process to stop
    reading, writing = os.pipe()
    try:
        with open_log(log) as output:
            process = subprocess.Popen(
                command(writing),
                pass_fds=(writing,),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        with if_interrupted("the pipeline is stopped"):
            told = _listen(reading, log, asked)
            stop_signal()  # it is ready: from here on an interrupt comes too late
            return told
    except BaseException:
        stop_signal()  # a second interrupt changes nothing
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


def _listen(reading: int, log: Path, asked: Event) -> str:
    with Steps() as steps, os.fdopen(reading, encoding="utf-8") as told:
        if asked.is_set():
            raise KeyboardInterrupt
        for line in told:
            kind, text = json.loads(line)
            if kind == _DONE:
                return str(text)
            if kind == _FAILED:
                raise SetupError(text)
            steps.say(text) if kind == _STEP else ERR.print(text, markup=False)
    raise SetupError(f"it ended before it was ready; {log} says why")


def own_command(*more: str) -> list[str]:
    """Return the command line of this process, with further arguments."""
    return python("-m", "splitway.cli.main", *sys.argv[1:], *more)
