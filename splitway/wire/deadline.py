"""How long a caller still waits, as it travels from hop to hop.

`x-request-timeout-ms` carries what is *left*, never a clock time: clocks differ between machines, durations do not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from splitway.errors import DeadlineExceeded, InvalidInput
from splitway.names import ENVOY_TIMEOUT_HEADER, TIMEOUT_HEADER

Clock = Callable[[], float]
"""Monotonic seconds."""


class Deadline(NamedTuple):
    """A point on a monotonic clock after which an answer is of no use."""

    at_s: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        return cls(clock() + seconds, clock)

    @property
    def remaining_s(self) -> float:
        return self.at_s - self.clock()

    @property
    def expired(self) -> bool:
        return self.remaining_s <= 0

    def sooner(self, seconds: float | None) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return self if seconds is None else Deadline(min(self.at_s, self.clock() + seconds), self.clock)

    def check(self, doing: str) -> None:
        """Raise DeadlineExceeded if the caller no longer waits for the answer."""
        if self.expired:
            raise DeadlineExceeded(f"the deadline passed before {doing}")

    def header(self) -> str:
        """What is left in whole milliseconds, at least 1."""
        return str(max(1, math.floor(self.remaining_s * 1000)))


def read_deadline(headers: Mapping[str, str], *, default_s: float, max_s: float) -> Deadline:
    """Return the deadline that a request's headers ask for, clamped to `max_s`.

    Raises:
        InvalidInput: the header is not a positive number of milliseconds.
    """
    text = headers.get(TIMEOUT_HEADER, headers.get(ENVOY_TIMEOUT_HEADER))
    if text is None:
        return Deadline.after(min(default_s, max_s))
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not milliseconds > 0:
        raise InvalidInput(f"{TIMEOUT_HEADER} must be a positive number of milliseconds, not {text[:40]!r}")
    return Deadline.after(min(milliseconds / 1000, max_s))
