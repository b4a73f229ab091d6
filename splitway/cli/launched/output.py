"""What `splitway up` prints: what the processes say with their names before it, and what it says itself."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Protocol

from rich.markup import escape
from rich.text import Text

from splitway.cli.console import ERR, OUT
from splitway.errors import SetupError
from splitway.local.run_file import LAUNCHER
from splitway.names import EXTRACTOR, GATEWAY, HEADS
from splitway.telemetry.log.lines import Lines

_COLOURS = {GATEWAY: "cyan", EXTRACTOR: "green", HEADS: "magenta"}
_BODY_COLOUR = "yellow"
_LOG_BYTES, _LOGS_KEPT = 10_000_000, 3
NAME_WIDTH = 20


class UpOutput(Protocol):
    """Where what `splitway up` has to say goes. A reader that stops reading blocks no process."""

    def of_process(self, name: str, line: str) -> None:
        """Print one line of a process's output. Called from any thread."""
        ...

    def say(self, line: str, style: str | None = None) -> None:
        """Print one line, with rich's markup."""
        ...

    def close(self) -> None:
        """Wait a moment until all is printed."""
        ...


class TerminalOutput:
    """Prints where the command was started.

    Where stdout is no terminal, it gets the processes' JSON alone; all else goes to stderr.
    """

    def __init__(self) -> None:
        self._json = Lines(sys.stdout)
        self._console, stream = (OUT, sys.stdout) if OUT.is_terminal else (ERR, sys.stderr)
        self._text = self._json if OUT.is_terminal else Lines(stream)

    def of_process(self, name: str, line: str) -> None:
        """Print one line of a process's output. Called from any thread."""
        if not OUT.is_terminal and line.startswith("{"):
            self._json.write(line)
            return
        colour = _COLOURS.get(name.partition(".")[0], _BODY_COLOUR)
        self.say(f"[{colour}]{name:<{NAME_WIDTH}}|[/] {escape(line)}")

    def say(self, line: str, style: str | None = None) -> None:
        """Print one line, with rich's markup."""
        with self._console.capture() as rendered:
            self._console.print(line, style=style)
        self._text.write(rendered.get().rstrip("\n"))

    def close(self) -> None:
        """Wait a moment until all is printed."""
        self._json.flush()
        self._text.flush()


def open_log(path: Path) -> IO[str]:
    """Open a log to write behind its end, made for its owner alone. Raises OSError, for a link too."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o600), "a", encoding="utf-8")  # noqa: PTH123 - it has no path; its caller closes it


class LogFile:
    """Writes everything to a file: time, name, line. At 10 MB it begins another, and keeps the three before it.

    Raises SetupError if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._handler = _Rotating(path, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8")
        except OSError as error:
            raise SetupError(f"cannot write {path}: {error.strerror}") from error
        self._lines = Lines(_AsStream(self._handler))

    def of_process(self, name: str, line: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._lines.write(f"{now} {name:<{NAME_WIDTH}}| {line}")

    def say(self, line: str, style: str | None = None) -> None:
        for each in Text.from_markup(line).plain.splitlines():
            self.of_process(LAUNCHER, each)

    def close(self) -> None:
        self._lines.flush()
        self._handler.close()


class _Rotating(RotatingFileHandler):
    """Loses what cannot be written, such as on a full disk: a log ends no pipeline."""

    def _open(self) -> Any:
        return open_log(Path(self.baseFilename))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        pass


class _AsStream:
    """A handler, as far as what writes lines asks for a stream."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler

    def write(self, text: str) -> None:
        self._handler.emit(logging.makeLogRecord({"msg": text.rstrip("\n")}))

    def flush(self) -> None:
        """Nothing: the handler does so after every line."""
