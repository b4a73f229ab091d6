"""Lines to a terminal, a file or a pipe, written by a thread: a reader that has stopped reading holds up no work."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from logging.handlers import QueueHandler, QueueListener
from typing import Any, Protocol

_MOST_WAITING = 10_000


class LineStream(Protocol):
    """What lines are written to; raises OSError or ValueError where its reader has gone."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class Lines(QueueHandler):
    """Takes lines, or records to be formatted as lines, and has them written in order, each in one piece.

    New lines are dropped and counted while the queue is full; the next record with room says how many.
    """

    def __init__(self, stream: LineStream, most_waiting: int = _MOST_WAITING) -> None:
        self._waiting: queue.Queue[str] = queue.Queue(most_waiting)
        super().__init__(self._waiting)
        self._dropped = 0
        _Writer(self._waiting, stream).start()

    def emit(self, record: logging.LogRecord) -> None:
        if self._dropped and not self._waiting.full():
            says, dropped = "%d lines were dropped: nothing read them", self.take_dropped()
            super().emit(logging.LogRecord(__name__, logging.WARNING, __file__, 0, says, (dropped,), None))
        super().emit(record)

    def prepare(self, record: logging.LogRecord) -> str:
        """A line is formatted where it is logged, so that what waits keeps no request's data alive."""
        return self.format(record)

    def enqueue(self, record: Any) -> None:
        self.write(record)

    def write(self, line: str) -> None:
        """Have a line written, or dropped. Called from any thread."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def take_dropped(self) -> int:
        """How many lines have been dropped since this was asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything is written, but not for ever."""
        ends_s = time.monotonic() + timeout_s
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks and (left_s := ends_s - time.monotonic()) > 0:
                self._waiting.all_tasks_done.wait(left_s)


class _Writer(QueueListener):
    """Writes what waits to a stream, from a thread."""

    def __init__(self, waiting: queue.Queue[str], stream: LineStream) -> None:
        super().__init__(waiting)
        self._stream = stream

    def handle(self, record: Any) -> None:
        with contextlib.suppress(OSError, ValueError):  # the reader has gone
            self._stream.write(f"{record}\n")
            self._stream.flush()
