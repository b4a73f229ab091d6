"""How often one client address may call."""

from __future__ import annotations

import time

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from splitway.errors import RateLimited


class ClientRate:
    """A moving window of one second per client address; 0 means no limit."""

    def __init__(self, per_second: int) -> None:
        self._item = RateLimitItemPerSecond(per_second) if per_second else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, request: Request) -> None:
        """Count one request that asks for work. Raises RateLimited, which says when to come back."""
        if self._item is None or request.method != "POST":
            return
        client = request.client.host if request.client else "unknown"
        if await self._limiter.hit(self._item, client):
            return
        window = await self._limiter.get_window_stats(self._item, client)
        raise RateLimited(
            f"{client} made more than {self._item.amount} requests in a second",
            retry_after_s=max(0.0, window.reset_time - time.time()),
        )
