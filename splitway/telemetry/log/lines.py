"""Lines to a terminal, a file or a pipe, written by a thread: a stopped reader blocks no request."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TextIO

_MOST_WAITING = 10_000


class Lines:
    """Takes lines at once and writes them in order, each in one piece.

    Of more than wait already, new ones are dropped and counted; how many is said when there is room again.

    Args:
        stream: where to.
        most_waiting: lines.
    """

    def __init__(self, stream: TextIO, most_waiting: int = _MOST_WAITING) -> None:
        self._stream = stream
        self._queue: queue.Queue[str] = queue.Queue(most_waiting)
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        """Have a line written, or dropped. Called from any thread."""
        if self._thread is None:
            self._start()
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def take_dropped(self) -> int:
        """How many lines have been dropped since this was asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything is written, but not for ever."""
        ends_s = time.monotonic() + timeout_s
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks and (left_s := ends_s - time.monotonic()) > 0:
                self._queue.all_tasks_done.wait(left_s)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            line = self._queue.get()
            with contextlib.suppress(OSError, ValueError):  # the reader has gone
                self._stream.write(line + "\n")
                self._stream.flush()
            self._queue.task_done()
