"""The gateway's door: as many requests as the bottleneck bears, a few that wait; the rest are rejected at once.

What is shared out is the bottleneck's time, by what requests cost: callers take turns by cost while they wait, and
where several are there, expensive requests of one of them do not fill all places inside. A caller who is alone may have
all of them.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from splitway.errors import Overloaded
from splitway.gateway.resilience.fair_queue import FairQueue
from splitway.gateway.resilience.limiter import AdaptiveLimit
from splitway.wire.deadline import Clock, Deadline

_SWEEP_AT = 64
"""Callers that are remembered before those who are gone are forgotten."""
_QUEUE_PLACES = 128
"""Enough for a burst; once it is full, the next is rejected at once, or in its stead the last of the caller who has
most in it."""
_EXPECTED_WAIT_S = 1.0
"""Requests that would wait longer, as fast as the queue moves now, are rejected at once and not after the wait."""
_LONGEST_WAIT_S = 2.0
"""Upper bound on the real wait, for requests whose estimate was too low."""
_RETRY_AFTER_S = 1.0
_INTERVAL_WEIGHT = 0.1
"""How much the time between two that leave counts in its moving average."""
_RECENT_S = 1.0
"""A caller who had a request inside so lately counts as one to share with."""
_LEAST_INSIDE = 2
"""Requests that each caller may have inside, whatever they cost: enough to keep a bottleneck busy."""
_KNOWN_AFTER_S = 0.2
"""So long the queue must have moved before its average says anything: stages answer in groups, and the first time
between two may be the pause between two groups."""


class Turned(StrEnum):
    """Why a request was turned away at the door."""

    FULL = "queue_full"
    TOO_LONG = "wait_too_long"
    WAITED = "waited_in_vain"


class _Waiting(NamedTuple):
    """A request in the queue; the future ends when it is let in."""

    place: asyncio.Future[None]
    caller: str
    cost: float


@dataclass(slots=True)
class _Share:
    """What one caller has inside."""

    requests: int = 0
    cost: float = 0.0
    left_s: float = -math.inf


class QueuePace:
    """A moving average of the time between two that leave while others wait, for each unit of their cost.

    It begins anew whenever nothing waits. A single long pause says no more than that nothing moved for `longest_s`: a
    process that stood still for a minute must not expect every wait to take as long.
    """

    def __init__(self, longest_s: float, clock: Clock) -> None:
        self._longest_s = longest_s
        self._clock = clock
        self._count = 0
        self._interval_s = self._cost = 0.0
        self._left_at_s: float | None = None
        self.measured_s = 0.0
        """How much time it rests on."""

    def rest(self) -> None:
        """Nothing waits: forget."""
        if self._left_at_s is not None:
            self._count, self._interval_s, self._cost = 0, 0.0, 0.0
            self._left_at_s, self.measured_s = None, 0.0

    def left(self, cost: float) -> None:
        """A request of this cost has left, and others wait."""
        now_s = self._clock()
        if self._left_at_s is not None:
            interval_s = min(self._longest_s, now_s - self._left_at_s)
            self._count += 1
            self.measured_s += interval_s
            weight = max(_INTERVAL_WEIGHT, 1 / self._count)
            self._interval_s += weight * (interval_s - self._interval_s)
            self._cost += weight * (cost - self._cost)
        self._left_at_s = now_s

    def expected_s(self, count: int, cost: float) -> float:
        """How long so many requests, of this cost together, will take to be let in.

        By their number or by their cost, whichever is less: of a few that left, either may say too much.
        """
        by_cost = cost / self._cost if self._cost > 0 else 0.0
        return min(count, by_cost) * self._interval_s


class Admission:
    """The gateway's door: sheds before any work has been done.

    Args:
        limit: how many may be inside.
        on_wait: told how many seconds each request that is let in has waited.
    """

    def __init__(
        self,
        limit: AdaptiveLimit,
        clock: Clock,
        on_wait: Callable[[float], None] = lambda _: None,
        *,
        queue_places: int = _QUEUE_PLACES,
        longest_wait_s: float = _LONGEST_WAIT_S,
    ) -> None:
        self.limit = limit
        self.in_flight = 0
        self.turned_away: Counter[Turned] = Counter()
        self._clock = clock
        self._on_wait = on_wait
        self._queue_places = queue_places
        self._longest_wait_s = longest_wait_s
        self._queue: FairQueue[_Waiting] = FairQueue()
        self._pace = QueuePace(longest_wait_s, clock)
        self._shares: dict[str, _Share] = {}
        self._sweep_at = _SWEEP_AT

    @property
    def queued(self) -> int:
        return len(self._queue)

    async def enter(self, deadline: Deadline, caller: str = "", cost: float = 1) -> None:
        """Take one of the places inside, to be given back by `leave`.

        Args:
            deadline: how long it may take.
            caller: the caller; callers take turns.
            cost: what the request takes of the bottleneck's time, in rows or as much work.

        Raises:
            Overloaded: inside and queue are full, or no place became free soon enough.
        """
        share = self._shares.get(caller) or self._new_share(caller)
        limit = self.limit.limit
        if self._queue or self.in_flight >= limit or (share.cost + cost > limit and not self._may_enter(caller, cost)):
            came_s = self._clock()
            await self._stand_in_queue(deadline, caller, cost)
            self._on_wait(self._clock() - came_s)
        else:
            self.in_flight += 1
            share.requests += 1
            share.cost += cost
            self._on_wait(0.0)

    def _new_share(self, caller: str) -> _Share:
        """Begin to count what a caller has inside; those who are gone are forgotten now and then."""
        if len(self._shares) >= self._sweep_at:
            self._shares = {one: share for one, share in self._shares.items() if self._is_there(one, share)}
            self._sweep_at = max(_SWEEP_AT, 2 * len(self._shares))
        share = self._shares[caller] = _Share()
        return share

    def _is_there(self, caller: str, share: _Share) -> bool:
        """Whether a caller has a request inside or in the queue, or had one lately."""
        is_recent = self._clock() - share.left_s < _RECENT_S
        return share.requests > 0 or is_recent or self._queue.waits(caller)

    def _may_enter(self, caller: str, cost: float) -> bool:
        """Whether a caller's expensive requests hold so few places that none must be kept for other callers."""
        share, limit, least = self._share_of(caller), self.limit.limit, _LEAST_INSIDE
        if share.requests < least or share.cost + cost <= limit:
            return True
        there = 1 + sum(one != caller and self._is_there(one, other) for one, other in self._shares.items())
        return there == 1 or share.requests < max(least, limit // (2 * there))

    def _share_of(self, caller: str) -> _Share:
        return self._shares.get(caller) or self._new_share(caller)

    async def _stand_in_queue(self, deadline: Deadline, caller: str, cost: float) -> None:
        """Wait until a request that leaves hands on its place."""
        left_s = max(0.0, deadline.remaining_s)
        is_known = self._pace.measured_s >= _KNOWN_AFTER_S
        if is_known and self._pace.expected_s(*self._queue.ahead(caller)) > min(_EXPECTED_WAIT_S, left_s):
            raise self._turn_away(Turned.TOO_LONG)
        if len(self._queue) >= self._queue_places:
            self._make_room(caller)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), caller, cost)
        self._queue.put(caller, waiting, cost)
        self._let_in()  # where others are held back, there may be a place
        try:
            async with asyncio.timeout(min(self._longest_wait_s, left_s)):
                await waiting.place
        except BaseException as error:
            self._give_up(waiting)
            if isinstance(error, TimeoutError):
                raise self._turn_away(Turned.WAITED) from None
            raise

    def _make_room(self, caller: str) -> None:
        """Turn away the last of the caller who has most in the queue. Raises Overloaded where that is this caller."""
        last = self._queue.pop_last_of_longest(than=caller)
        if last is None:
            raise self._turn_away(Turned.FULL)
        if not last.place.done():
            last.place.set_exception(self._turn_away(Turned.FULL))

    def _give_up(self, waiting: _Waiting) -> None:
        """Leave the queue; a place that was handed over in the same moment goes to the next."""
        place = waiting.place
        if place.done() and not place.cancelled():
            if place.exception() is None:
                self.leave(waiting.caller, waiting.cost)
        else:
            self._queue.discard(waiting.caller, waiting)

    def _turn_away(self, why: Turned) -> Overloaded:
        self.turned_away[why] += 1
        return Overloaded(
            f"{self.in_flight} requests are running and {len(self._queue)} are waiting",
            retry_after_s=_RETRY_AFTER_S,
        )

    def leave(self, caller: str = "", cost: float = 1, spent: float | None = None) -> None:
        """Give back a place, to the request whose turn it is.

        Args:
            caller: the caller that held it.
            cost: as it was told to `enter`.
            spent: what the request has cost in truth, where that was less.
        """
        self.in_flight -= 1
        share = self._shares[caller]
        share.requests -= 1
        share.cost -= cost
        share.left_s = self._clock()
        if not self._queue:
            self._pace.rest()
            return
        self._pace.left(cost if spent is None else spent)
        if spent is not None and spent < cost:
            self._queue.give_back(caller, cost - spent)
        self._let_in()

    def _let_in(self) -> None:
        """Hand on the places that are free."""
        while self._queue and self.in_flight < self.limit.limit:
            waiting = self._queue.pop(self._may_enter)
            if waiting is None:
                self.limit.held_back()
                return
            if not waiting.place.done():
                share = self._share_of(waiting.caller)
                self.in_flight += 1
                share.requests += 1
                share.cost += waiting.cost
                waiting.place.set_result(None)
