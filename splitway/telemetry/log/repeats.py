"""The same line over and over: the first few of a second are logged, and of the others how many there were."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

PACKAGE = "splitway"
"""Our own package. How often its lines come is bounded where they are logged."""
_PER_SECOND = 5


@dataclass
class _LinePlace:
    """A place in the code that logs."""

    second: int = 0
    logged: int = 0
    left_out: int = 0


class Repeats(logging.Filter):
    """Limits the lines per second from each place in the code that callers can provoke at will:
    what others' code logs, and stack traces. A line that comes after some that did not says how many, as `left_out`.

    Args:
        clock: monotonic seconds.
        per_second: lines from one place.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, per_second: int = _PER_SECOND) -> None:
        super().__init__()
        self._clock = clock
        self._per_second = per_second
        self._places: dict[tuple[str, int], _LinePlace] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == PACKAGE and not record.exc_info:
            return True
        place = self._places.setdefault((record.pathname, record.lineno), _LinePlace())
        second = int(self._clock())
        if second != place.second:
            place.second, place.logged = second, 0
        if place.logged >= self._per_second:
            place.left_out += 1
            return False
        place.logged += 1
        if place.left_out:
            record.left_out, place.left_out = place.left_out, 0
        return True
