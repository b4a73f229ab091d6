"""Limits of one caller: requests a second, cost a minute, parallel requests.

Callers over their limit are refused before the body is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splitway.errors import RateLimited
from splitway.gateway.callers.caller import caller_of
from splitway.gateway.callers.sliding_window import Windows
from splitway.gateway.callers.usage import Share, Tab, keep
from splitway.gateway.paths import work_asked_for
from splitway.http.errors import Render
from splitway.security.callers.principal import principal_of

OnRefusal = Callable[[Request, RateLimited], None]
DEFAULT_CONCURRENCY = 64
"""Of a caller who has shown who they are: each request may hold a body, while it is read and while it waits."""
_UNLIMITED = Share()
_RETRY_WHEN_BUSY_S = 1.0


@dataclass(frozen=True)
class AllowancePolicy:
    """Default limits of a caller; 0 for no limit."""

    rate_per_second: int = 0
    cost_per_minute: int = 0
    concurrency: int = 0


class Allowance:
    """ASGI app in front of another, which sees only what its caller may have.

    Args:
        app: does the work.
        policy: the default limits.
        windows: where it is counted.
        render: turns a refusal into an answer.
        on_refusal: told of every one.
    """

    def __init__(
        self, app: ASGIApp, policy: AllowancePolicy, windows: Windows, render: Render, on_refusal: OnRefusal
    ) -> None:
        self._app = app
        self._policy = policy
        self._windows = windows
        self._render = render
        self._on_refusal = on_refusal
        self._everybodys = Share.of(policy.rate_per_second, policy.cost_per_minute, policy.concurrency)
        self.under_way: Counter[str] = Counter()
        """Of each caller who has any."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for_work = scope["type"] == "http" and work_asked_for(scope["method"], scope["path"]) is not None
        share = self._share_of(scope) if for_work else _UNLIMITED
        if share == _UNLIMITED:
            await self._app(scope, receive, send)
            return
        caller = caller_of(scope)
        tab = Tab(self._windows, caller, share)
        place = _Place(self.under_way, caller)

        async def send_with_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *tab.headers()]
            elif not message.get("more_body", False):
                place.leave()  # before the last part is sent: its receiver may ask again
            await send(message)

        try:
            refusal = await self._admit(tab, place, share)
            if refusal is None:
                keep(scope, tab)
                await self._app(scope, receive, send_with_standing)
            else:
                request = Request(scope, receive)
                self._on_refusal(request, refusal)
                await self._render(request, refusal)(scope, receive, send_with_standing)
        finally:
            place.leave()

    async def _admit(self, tab: Tab, place: _Place, share: Share) -> RateLimited | None:
        """Take what every request takes; return why it may not be had, if so."""
        try:
            place.take(share.concurrency)
            await tab.open()
        except RateLimited as refusal:
            return refusal
        return None

    def _share_of(self, scope: Scope) -> Share:
        principal = principal_of(scope)
        if principal is None or principal.cost_per_minute is principal.concurrency is None:
            return self._everybodys
        policy, cost, concurrency = self._policy, principal.cost_per_minute, principal.concurrency
        return Share.of(
            policy.rate_per_second,
            policy.cost_per_minute if cost is None else cost,
            policy.concurrency if concurrency is None else concurrency,
        )


class _Place:
    """One of the places that a caller's requests may take at once."""

    def __init__(self, taken: Counter[str], caller: str) -> None:
        self._taken = taken
        self._caller = caller
        self._is_ours = False

    def take(self, most: int) -> None:
        """Take it, if there are limits. Raises RateLimited where none is left."""
        if not most:
            return
        if self._taken[self._caller] >= most:
            raise RateLimited(
                f"{most} of your requests are running, the most allowed at the same time",
                retry_after_s=_RETRY_WHEN_BUSY_S,
            )
        self._taken[self._caller] += 1
        self._is_ours = True

    def leave(self) -> None:
        """Give it back, if it has been taken and not given back yet."""
        if not self._is_ours:
            return
        self._is_ours = False
        self._taken[self._caller] -= 1
        if not self._taken[self._caller]:
            del self._taken[self._caller]
