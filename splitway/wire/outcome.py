"""How a request ended, and how long it took: counted in one way by every app."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from splitway.errors import SplitwayError


@contextmanager
def outcome_of(record: Callable[[str, float], None]) -> Iterator[None]:
    """Call `record` with `ok`, the error's code or `cancelled`, and the seconds, however the work inside ends."""
    started_s = time.perf_counter()
    outcome = "cancelled"
    try:
        yield
        outcome = "ok"
    except SplitwayError as error:
        outcome = error.code
        raise
    except Exception:
        outcome = SplitwayError.code
        raise
    finally:
        record(outcome, time.perf_counter() - started_s)
