"""Counts shared by several gateways, in Redis, which does each count in one step.

A Redis that fails or takes long stops no request: each gateway then counts by itself, so that a caller has their share
once at each of them, until Redis answers again.
"""

from __future__ import annotations

import asyncio
import logging

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from splitway.gateway.callers.sliding_window import Limit, MemoryWindows, Standing, WindowCounts
from splitway.gateway.transport.shortage import is_own_shortage
from splitway.wire.deadline import Clock

_LEFT_ALONE_S = 5.0
_CONNECTIONS = 4
_log = logging.getLogger(__name__)


class RedisWindows:
    """Counts in Redis; asks one that has failed again only after a while.

    Args:
        url: `redis://host:port/database`.
        timeout_s: how long a count may take.
    """

    def __init__(self, url: str, clock: Clock, timeout_s: float = 0.5) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix="splitway",
            connection_pool=self._pool,  # type: ignore[arg-type] # passed on to redis-py; limits' types forget it
        )
        self._clock = clock
        self._timeout_s = timeout_s
        self._instead = MemoryWindows(clock)
        self._again_at_s = 0.0
        """0 while it answers."""

    async def take(self, caller: str, limit: Limit, amount: int) -> Standing:
        now_s = self._clock()
        if now_s >= self._again_at_s:
            if self._again_at_s:
                self._again_at_s = now_s + _LEFT_ALONE_S  # one tries; the others wait for what becomes of it elsewhere
            try:
                async with asyncio.timeout(self._timeout_s):
                    found = await self._take(caller, limit, amount)
            except Exception as error:  # among them counts that are no numbers: each gateway then counts alone
                if not is_own_shortage(error):
                    self._leave_alone(error)
            else:
                self._is_back()
                return found
        return await self._instead.take(caller, limit, amount)

    async def _take(self, caller: str, limit: Limit, amount: int) -> Standing:
        key = f"{limit.name}:{caller}"
        taken = await self._storage.acquire_sliding_window_entry(key, limit.amount, limit.window_s, amount)
        previous, _, current, kept_s = await self._storage.get_sliding_window(key, limit.window_s)
        left_s = max(0.0, kept_s - limit.window_s)  # a window is kept for as long again as it goes on
        return WindowCounts(previous, current, left_s).standing(limit, amount, taken=taken)

    def _leave_alone(self, error: Exception) -> None:
        if not self._again_at_s:
            _log.warning("the shared counters cannot be reached (%s); this gateway counts alone", type(error).__name__)
        self._again_at_s = self._clock() + _LEFT_ALONE_S

    def _is_back(self) -> None:
        if self._again_at_s:
            _log.warning("the shared counters can be reached again")
            self._again_at_s = 0.0

    async def close(self) -> None:
        await self._instead.close()
        await self._pool.aclose()
