"""Who may come in: as many as the bottleneck bears, a few who wait a moment, and the rest are turned away at once.

Callers take turns at the door, so that nobody waits for another's many requests.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from gateway.resilience.fair_queue import FairQueue
from gateway.resilience.limiter import AdaptiveLimit
from splitway.errors import Overloaded
from splitway.wire.deadline import Clock, Deadline


@dataclass(frozen=True)
class AdmissionPolicy:
    """How long the queue at the door may be, and how long anyone stands in it."""

    queue_places: int = 128
    """Enough for a burst; once it is full, the next is turned away at once, or in their stead the last of whoever has
    most in it."""
    expected_wait_s: float = 1.0
    """Who would wait longer, as fast as the queue moves now, is turned away at once and not after the wait."""
    longest_wait_s: float = 2.0
    """Who was expected to be let in sooner, and was not, is turned away after this long."""
    retry_after_s: float = 1.0
    interval_weight: float = 0.1
    """How much the time between two who leave counts in its moving average."""
    known_after_s: float = 0.2
    """So long the queue must have moved before that average says anything: stages answer in groups, and the first time
    between two may be the pause between two groups."""


class Turned(StrEnum):
    """Why somebody was turned away at the door."""

    FULL = "queue_full"
    TOO_LONG = "wait_too_long"
    WAITED = "waited_in_vain"


def _nobody(_: float) -> None:
    """Nobody wants to know."""


class Admission:
    """The gateway's door: sheds before any work has been done.

    Args:
        policy: the queue.
        limit: how many may be inside.
        clock: monotonic seconds.
        on_wait: told how many seconds each who is let in has waited.
    """

    def __init__(
        self, policy: AdmissionPolicy, limit: AdaptiveLimit, clock: Clock, on_wait: Callable[[float], None] = _nobody
    ) -> None:
        self.limit = limit
        self.in_flight = 0
        self.turned_away: Counter[Turned] = Counter()
        self._policy = policy
        self._clock = clock
        self._on_wait = on_wait
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._interval_s = 0.0
        self._intervals = 0
        self._measured_s = 0.0
        self._left_at_s: float | None = None

    @property
    def queued(self) -> int:
        return len(self._queue)

    async def enter(self, deadline: Deadline, caller: str = "") -> None:
        """Take one of the places inside; whoever has one gives it back by `leave`.

        Args:
            deadline: how long it may take.
            caller: who takes turns with the others.

        Raises:
            Overloaded: inside and queue are full, or no place became free soon enough.
        """
        if self._queue or self.in_flight >= self.limit.limit:
            came_s = self._clock()
            await self._stand_in_queue(deadline, caller)
            self._on_wait(self._clock() - came_s)
        else:
            self.in_flight += 1
            self._on_wait(0.0)

    async def _stand_in_queue(self, deadline: Deadline, caller: str) -> None:
        """Wait until somebody who leaves hands on the place."""
        left_s = max(0.0, deadline.remaining_s)
        is_known = self._measured_s >= self._policy.known_after_s
        if is_known and self._interval_s * self._queue.ahead(caller) > min(self._policy.expected_wait_s, left_s):
            raise self._turn_away(Turned.TOO_LONG)
        if len(self._queue) >= self._policy.queue_places:
            self._make_room(caller)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(caller, place)
        try:
            async with asyncio.timeout(min(self._policy.longest_wait_s, left_s)):
                await place
        except BaseException as error:
            self._give_up(caller, place)
            if isinstance(error, TimeoutError):
                raise self._turn_away(Turned.WAITED) from None
            raise

    def _make_room(self, caller: str) -> None:
        """Turn away the last of whoever has most in the queue. Raises Overloaded where that is this caller."""
        last = self._queue.pop_last_of_longest(than=caller)
        if last is None:
            raise self._turn_away(Turned.FULL)
        if not last.done():
            last.set_exception(self._turn_away(Turned.FULL))

    def _give_up(self, caller: str, place: asyncio.Future[None]) -> None:
        """Leave the queue; a place that was handed over in the same moment goes to the next."""
        if place.done() and not place.cancelled():
            if place.exception() is None:
                self.leave()
        else:
            self._queue.discard(caller, place)

    def _turn_away(self, why: Turned) -> Overloaded:
        self.turned_away[why] += 1
        return Overloaded(
            f"{self.in_flight} requests are being answered and {len(self._queue)} wait already",
            retry_after_s=self._policy.retry_after_s,
        )

    def leave(self) -> None:
        """Give back a place, to whoever waits first."""
        self.in_flight -= 1
        self._measure_interval()
        while self._queue and self.in_flight < self.limit.limit:
            place = self._queue.pop()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def _measure_interval(self) -> None:
        """Learn how fast the queue moves: the time between two who leave, while somebody waits."""
        if not self._queue:
            self._interval_s, self._intervals, self._measured_s, self._left_at_s = 0.0, 0, 0.0, None
            return
        now_s = self._clock()
        if self._left_at_s is not None:
            interval_s = now_s - self._left_at_s
            self._intervals += 1
            self._measured_s += interval_s
            weight = max(self._policy.interval_weight, 1 / self._intervals)
            self._interval_s += weight * (interval_s - self._interval_s)
        self._left_at_s = now_s
