"""Who may come in: as many as the bottleneck bears, a few who wait a moment, and the rest are turned away at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.resilience.limiter import AdaptiveLimit
from splitway.errors import Overloaded
from splitway.wire.deadline import Deadline


@dataclass(frozen=True)
class AdmissionPolicy:
    """How long the queue at the door may be, and how long anyone stands in it."""

    queue_places: int = 128
    """Enough for a burst; once it is full, the next is turned away at once."""
    longest_wait_s: float = 2.0
    retry_after_s: float = 1.0


class Admission:
    """The gateway's door: sheds before any work has been done."""

    def __init__(self, policy: AdmissionPolicy, limit: AdaptiveLimit) -> None:
        self.limit = limit
        self.in_flight = 0
        self._policy = policy
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def queued(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def admitted(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold one of the places inside.

        Raises:
            Overloaded: inside and queue are full, or no place became free soon enough.
        """
        if self.in_flight >= self.limit.limit:
            await self._stand_in_queue(deadline)
        else:
            self.in_flight += 1
        try:
            yield
        finally:
            self._leave()

    async def _stand_in_queue(self, deadline: Deadline) -> None:
        """Wait until somebody who leaves hands on the place."""
        if len(self._queue) >= self._policy.queue_places:
            raise self._turned_away()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout(min(self._policy.longest_wait_s, max(0.0, deadline.remaining_s))):
                await place
        except BaseException as error:
            self._give_up(place)
            if isinstance(error, TimeoutError):
                raise self._turned_away() from None
            raise

    def _give_up(self, place: asyncio.Future[None]) -> None:
        """Leave the queue; a place that was handed over in the same moment goes to the next."""
        if place.done() and not place.cancelled():
            self._leave()
        elif place in self._queue:
            self._queue.remove(place)

    def _turned_away(self) -> Overloaded:
        return Overloaded(
            f"{self.in_flight} requests are being answered and {len(self._queue)} wait already",
            retry_after_s=self._policy.retry_after_s,
        )

    def _leave(self) -> None:
        self.in_flight -= 1
        while self._queue and self.in_flight < self.limit.limit:
            place = self._queue.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
