"""How a request ended, and how long it took: counted in one way by every app."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from starlette.requests import ClientDisconnect

from splitway.errors import SplitwayError

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of every histogram of seconds, so that those of gateway and stages can be laid side by side."""


class outcome_of:  # noqa: N801 - used as a function; a class because a generator costs three times as much
    """Call `record` with `ok`, the error's code or `cancelled`, and the seconds, however the work inside ends."""

    def __init__(self, record: Callable[[str, float], None]) -> None:
        self._record = record

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            outcome = "ok"
        elif isinstance(error, Exception) and not isinstance(error, ClientDisconnect):
            outcome = error.code if isinstance(error, SplitwayError) else SplitwayError.code
        else:
            outcome = "cancelled"
        self._record(outcome, time.perf_counter() - self._started_s)
