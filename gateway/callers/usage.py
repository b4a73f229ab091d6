"""Charges a request to its caller's limits: one unit on arrival, the rest when its cost is known.

Work that is refused costs no more than that one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from splitway.errors import RateLimited, TooLarge
from splitway.gateway.callers.sliding_window import Limit, Standing, Windows

_STATE = "tab"


@dataclass(frozen=True)
class Share:
    """Limits of one caller."""

    rate: Limit | None = None
    cost: Limit | None = None
    concurrency: int = 0

    @classmethod
    def of(cls, rate_per_second: int, cost_per_minute: int, concurrency: int) -> Share:
        """From numbers, of which 0 stands for no limit."""
        rate = Limit("rate", rate_per_second, 1) if rate_per_second else None
        return cls(rate, Limit("cost", cost_per_minute, 60) if cost_per_minute else None, concurrency)


class Tab:
    """What one request takes.

    Args:
        windows: where it is counted.
        caller: who makes it.
        share: the caller's limits.
    """

    def __init__(self, windows: Windows, caller: str, share: Share) -> None:
        self._windows = windows
        self._caller = caller
        self._share = share
        self._last: Standing | None = None

    async def open(self) -> None:
        """Take one request and the first of its cost. Raises RateLimited."""
        if self._share.rate is not None:
            await self._take(self._share.rate, 1)
        if self._share.cost is not None:
            await self._take(self._share.cost, 1)

    async def charge(self, cost: int) -> None:
        """Take the rest of a request's cost.

        Raises:
            TooLarge: the caller may never take so much.
            RateLimited: there is not so much left now.
        """
        limit = self._share.cost
        if limit is None or cost <= 1:
            return
        if cost > limit.amount:
            raise TooLarge(f"this costs {cost} (1 for each row and megapixel); your limit is {limit.amount} a minute")
        await self._take(limit, cost - 1)

    async def _take(self, limit: Limit, amount: int) -> None:
        self._last = standing = await self._windows.take(self._caller, limit, amount)
        if standing.taken:
            return
        if limit is self._share.rate:
            words = f"your limit is {limit.amount} requests a second"
        else:
            words = f"your limit is {limit.amount} a minute (1 for each row and megapixel)"
        again = f"{standing.remaining} are left; try again in {math.ceil(standing.wait_s)} s"
        raise RateLimited(f"{words}; {again}", retry_after_s=standing.wait_s)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """How the caller stands, as drafts 3 to 6 of the IETF's RateLimit fields have it."""
        if self._last is None:
            return []
        limits = [each for each in (self._share.rate, self._share.cost) if each is not None]
        values = {
            b"ratelimit-limit": str(self._last.limit.amount),
            b"ratelimit-remaining": str(self._last.remaining),
            b"ratelimit-reset": str(math.ceil(max(self._last.reset_s, self._last.wait_s))),
            b"ratelimit-policy": ", ".join(f"{each.amount};w={each.window_s}" for each in limits),
        }
        return [(name, value.encode()) for name, value in values.items()]


def keep(scope: MutableMapping[str, Any], tab: Tab) -> None:
    """Note the tab of the request of this ASGI scope, which has a `state`."""
    scope["state"][_STATE] = tab


async def charge(scope: Mapping[str, Any], cost: int) -> None:
    """Take what the request of this ASGI scope costs, now that it is known. Raises as `Tab.charge`."""
    tab = scope.get("state", {}).get(_STATE)
    if isinstance(tab, Tab):
        await tab.charge(cost)
