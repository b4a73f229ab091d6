"""Threads that decode pictures before a batch is gathered, and how much may wait for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from splitway.errors import Overloaded
from splitway.runtime.batching.batch import stopping
from splitway.runtime.batching.threads import STOPS_WITHIN_S, DaemonThreads, Runs
from splitway.wire.aside import in_thread
from splitway.wire.tensor import Arrays


class Decoded(NamedTuple):
    """A request's inputs, and when they were asked for, begun and done; monotonic seconds."""

    inputs: Arrays
    asked_s: float
    began_s: float
    ended_s: float


class Decoders:
    """Decodes for a model that answers in batches.

    Args:
        threads: how many decode at once.
        max_rows: rows that may be in it at once, waiting or being decoded.
        runs: told of each, so that one that hangs is noticed.
        name: the model, as it is called there.
    """

    def __init__(self, threads: int, max_rows: int, runs: Runs, name: str) -> None:
        self._threads = DaemonThreads(threads, "decode")
        self._max_rows = max_rows
        self._runs = runs
        self._name = name
        self.rows = 0
        """Rows that wait here or are being decoded."""
        self._closed = False

    async def decode(self, work: Callable[[], Arrays], rows: int) -> Decoded:
        """Return what `work` makes, in a thread; waiting for a thread is counted apart from its work.

        Raises:
            Overloaded: too many rows wait already; one that finds none is never refused. Or the stage is stopping.
            SplitwayError: of `work`.
        """
        if self._closed:
            raise stopping()
        if self.rows and self.rows + rows > self._max_rows:
            raise Overloaded(f"{self.rows} rows are already waiting to be decoded", retry_after_s=1)
        asked_s = time.monotonic()

        def timed() -> Decoded:
            began_s = time.monotonic()
            self._runs.begin(self._name)
            try:
                return Decoded(work(), asked_s, began_s, time.monotonic())
            finally:
                self._runs.end()

        self.rows += rows
        try:
            return await in_thread(self._threads, timed)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise stopping() from None  # it was not this request that was cancelled: the threads were stopped
        finally:
            self.rows -= rows

    async def close(self, within_s: float = STOPS_WITHIN_S) -> bool:
        """Stop the threads; say whether they have ended within so many seconds."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        return await asyncio.to_thread(self._threads.join, within_s)
