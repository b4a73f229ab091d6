"""A second attempt beside a first one that takes longer than nearly all others.

After J. Dean and L. Barroso, "The Tail at Scale" (2013): wait for a high quantile of the usual latency, so that few
requests are sent twice, then take whichever answer comes first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from splitway.wire.deadline import Clock

Answer = TypeVar("Answer")
_REMEMBERED = 1024
_ENOUGH = 100
_SORT_EVERY = 32
_RECENT_S = 60.0
"""Older latencies are forgotten, as long as enough are left: they may be of a pause, or of another load."""


class HedgeDelay:
    """When a first attempt has taken long enough: a quantile of a stage's recent latencies.

    Args:
        quantile: from 0 up to 1, such as 0.95: about one request in twenty is then sent twice.
    """

    def __init__(self, quantile: float, clock: Clock = time.monotonic) -> None:
        self.seconds: float | None = None
        """The quantile; None until enough is known."""
        self._quantile = quantile
        self._clock = clock
        self._latencies_s: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        """Each with the time at which it was seen."""
        self._unsorted = 0

    def observe(self, seconds: float) -> None:
        """Add one attempt's latency, or for one that was cut short, what it had taken so far."""
        now_s = self._clock()
        self._latencies_s.append((now_s, seconds))
        self._unsorted += 1
        if len(self._latencies_s) >= _ENOUGH and self._unsorted >= _SORT_EVERY:
            while len(self._latencies_s) > _ENOUGH and self._latencies_s[0][0] < now_s - _RECENT_S:
                self._latencies_s.popleft()
            ranked = sorted(seconds for _, seconds in self._latencies_s)
            self.seconds = ranked[min(len(ranked) - 1, math.floor(self._quantile * len(ranked)))]
            self._unsorted = 0


async def hedged(
    first: Coroutine[Any, Any, Answer],
    second: Callable[[], Coroutine[Any, Any, Answer] | None],
    delay_s: float,
) -> Answer:
    """Return whichever of two attempts answers first; the other is cancelled and waited for.

    Args:
        first: started at once.
        second: called after `delay_s` seconds without an end of the first; None if there may be no second.

    Raises:
        Exception: of the first attempt, if no attempt answered.
    """
    running = {asyncio.ensure_future(first)}
    (original,) = running
    try:
        await asyncio.wait(running, timeout=delay_s)
        if not original.done() and (another := second()) is not None:
            running.add(asyncio.ensure_future(another))
        unfinished = set(running)
        while unfinished:
            done, unfinished = await asyncio.wait(unfinished, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and task.exception() is None:
                    return task.result()
        return original.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
