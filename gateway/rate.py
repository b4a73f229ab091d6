"""How often one client address may call."""

from __future__ import annotations

import time
from collections.abc import Callable

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.responses import Response

from splitway.errors import RateLimited
from splitway.wire.short_way import Endpoint


class ClientRate:
    """A moving window of one second per client address.

    Args:
        per_second: requests; 0 means no limit.
        on_refusal: told of every request that is refused.
    """

    def __init__(self, per_second: int, on_refusal: Callable[[Request, RateLimited], None]) -> None:
        self._item = RateLimitItemPerSecond(per_second) if per_second else None
        self._on_refusal = on_refusal
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, request: Request) -> None:
        """Count one request that asks for work. Raises RateLimited, which says when to come back."""
        if self._item is None or request.method != "POST":
            return
        client = request.client.host if request.client else "unknown"
        if await self._limiter.hit(self._item, client):
            return
        window = await self._limiter.get_window_stats(self._item, client)
        refusal = RateLimited(
            f"{client} made more than {self._item.amount} requests in a second",
            retry_after_s=max(0.0, window.reset_time - time.time()),
        )
        self._on_refusal(request, refusal)
        raise refusal

    def before(self, endpoint: Endpoint) -> Endpoint:
        """The same endpoint, with each request counted first."""

        async def counted(request: Request) -> Response:
            await self(request)
            return await endpoint(request)

        return counted if self._item is not None else endpoint
