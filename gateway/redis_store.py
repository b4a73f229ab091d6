"""Features kept in Redis, shared by several gateways. A Redis that fails costs time-limited misses, never an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

_TIMEOUT_S = 0.1
_LEFT_ALONE_S = 5.0
_log = logging.getLogger(__name__)
Value = TypeVar("Value")


class RedisStore:
    """Keeps values for a time; asks a Redis that has failed again only after a while.

    Args:
        url: `redis://host:port/database`.
        keep_s: how long a value is kept.
    """

    def __init__(self, url: str, keep_s: int) -> None:
        self._redis = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._keep_s = keep_s
        self._again_at_s = 0.0

    def bytes_held(self) -> int:
        return 0

    async def get(self, key: str) -> bytes | None:
        value = await self._or_none(self._redis.get(key))
        return value if isinstance(value, bytes) else None

    async def put(self, key: str, value: bytes) -> bool:
        return bool(await self._or_none(self._redis.set(key, value, ex=self._keep_s)))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _or_none(self, call: Awaitable[Value]) -> Value | None:
        if time.monotonic() < self._again_at_s:
            if hasattr(call, "close"):
                call.close()
            return None
        try:
            return await call
        except (RedisError, OSError, TimeoutError) as error:
            self._again_at_s = time.monotonic() + _LEFT_ALONE_S
            _log.warning("the feature cache is off for %.0f s: %s", _LEFT_ALONE_S, error)
            return None
