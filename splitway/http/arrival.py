"""How fast one body comes in, and a way to end it."""

from __future__ import annotations

import asyncio
import contextlib
import math

from splitway.wire.deadline import Clock

GRACE_S = 2.0
"""So long a body is watched before it is called slow; what came earlier counts no more."""


class Arrival:
    """A body that is being read.

    Args:
        timeout: ends the reading of it.
        clock: monotonic seconds.
    """

    __slots__ = ("_bytes", "_clock", "_rate", "_since_s", "_timeout")

    def __init__(self, timeout: asyncio.Timeout, clock: Clock) -> None:
        self._timeout = timeout
        self._clock = clock
        self._since_s, self._bytes, self._rate = clock(), 0, math.inf

    def came(self, size: int) -> None:
        """Note bytes that have come."""
        elapsed_s = self._clock() - self._since_s
        if elapsed_s >= GRACE_S:
            self._rate = self._bytes / elapsed_s
            self._since_s, self._bytes = self._since_s + elapsed_s, 0
        self._bytes += size

    @property
    def rate(self) -> float:
        """Bytes a second of late; infinity for a body that has just begun."""
        elapsed_s = self._clock() - self._since_s
        return self._bytes / elapsed_s if elapsed_s >= GRACE_S else self._rate

    def end(self) -> None:
        """Let no more of it be read."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._timeout.reschedule(asyncio.get_running_loop().time())
