"""Limits of one caller: requests a second, cost a minute, parallel requests.

Callers over their limit are refused before the body is read. A request costs one unit on arrival, the rest when its
cost is known: work that is refused costs no more than that one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splitway.errors import RateLimited, TooLarge
from splitway.gateway.callers.caller import caller_of
from splitway.gateway.callers.sliding_window import Limit, Standing, Windows
from splitway.gateway.paths import work_asked_for
from splitway.http.errors import Render
from splitway.security.callers.principal import principal_of

DEFAULT_CONCURRENCY = 64
"""Of a caller who has shown who they are: each request may hold a body, while it is read and while it waits."""
_RETRY_WHEN_BUSY_S = 1.0
_STATE = "tab"


class Share(NamedTuple):
    """Limits of one caller; 0 for no limit."""

    rate: Limit = Limit("rate", 0, 1)
    cost: Limit = Limit("cost", 0, 60)
    concurrency: int = 0


_UNLIMITED = Share()


@dataclass(eq=False, repr=False)
class Allowance:
    """ASGI app in front of another, which sees only what its caller may have."""

    app: ASGIApp
    everybodys: Share
    """The limits of callers who have none of their own."""
    windows: Windows
    refuse: Render
    under_way: Counter[str] = field(default_factory=Counter)
    """Requests of each caller who has any, where their number is limited."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for_work = work_asked_for(scope["method"], scope["path"]) is not None
        share = self._share_of(scope) if for_work else _UNLIMITED
        if share == _UNLIMITED:
            await self.app(scope, receive, send)
            return
        tab = Tab(self, caller_of(scope), share)

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *tab.headers()]
            elif not message.get("more_body", False):
                tab.close()  # before the last part is sent: its receiver may ask again
            await send(message)

        try:
            await tab.open()
        except RateLimited as refusal:
            await self.refuse(Request(scope, receive), refusal)(scope, receive, send_with_standing)
        else:
            scope["state"][_STATE] = tab
            await self.app(scope, receive, send_with_standing)
        finally:
            tab.close()

    def _share_of(self, scope: Scope) -> Share:
        share, principal = self.everybodys, principal_of(scope)
        if principal is None:
            return share
        if principal.cost_per_minute is not None:
            share = share._replace(cost=share.cost._replace(amount=principal.cost_per_minute))
        return share if principal.concurrency is None else share._replace(concurrency=principal.concurrency)


class Tab:
    """What one request takes of its caller's share."""

    def __init__(self, allowance: Allowance, caller: str, share: Share) -> None:
        self._windows, self._under_way = allowance.windows, allowance.under_way
        self._caller = caller
        self._share = share
        self._last: Standing | None = None
        self._is_counted = False

    async def open(self) -> None:
        """Take one of the caller's places, one request and the first of its cost. Raises RateLimited."""
        share = self._share
        if share.concurrency:
            if self._under_way[self._caller] >= share.concurrency:
                words = f"{share.concurrency} of your requests are running, the most allowed at the same time"
                raise RateLimited(words, retry_after_s=_RETRY_WHEN_BUSY_S)
            self._under_way[self._caller] += 1
            self._is_counted = True
        for limit in (share.rate, share.cost):
            if limit.amount:
                await self._take(limit, 1)

    def close(self) -> None:
        """Give back the place, if it has been taken and not given back yet."""
        if not self._is_counted:
            return
        self._is_counted = False
        self._under_way[self._caller] -= 1
        if not self._under_way[self._caller]:
            del self._under_way[self._caller]

    async def charge(self, cost: int) -> None:
        """Take the rest of a request's cost.

        Raises:
            TooLarge: the caller may never take so much.
            RateLimited: there is not so much left now.
        """
        limit = self._share.cost
        if not limit.amount or cost <= 1:
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
        limits = [each for each in (self._share.rate, self._share.cost) if each.amount]
        values = {
            b"ratelimit-limit": str(self._last.limit.amount),
            b"ratelimit-remaining": str(self._last.remaining),
            b"ratelimit-reset": str(math.ceil(max(self._last.reset_s, self._last.wait_s))),
            b"ratelimit-policy": ", ".join(f"{each.amount};w={each.window_s}" for each in limits),
        }
        return [(name, value.encode()) for name, value in values.items()]


async def charge(scope: Mapping[str, Any], cost: int) -> None:
    """Take what the request of this ASGI scope costs, now that it is known. Raises as `Tab.charge`."""
    tab = scope.get("state", {}).get(_STATE)
    if isinstance(tab, Tab):
        await tab.charge(cost)
