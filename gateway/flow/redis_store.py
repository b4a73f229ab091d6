"""Features kept in Redis, shared by several gateways. A Redis that fails costs time-limited misses, never an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from splitway.gateway.transport.shortage import is_own_shortage
from splitway.wire.deadline import Clock

_TIMEOUT_S = 0.1
_LEFT_ALONE_S = 5.0
_NO_VALUE = "WRONGTYPE"
"""How Redis begins its answer where a key holds a list, a set or the like."""
_log = logging.getLogger(__name__)
Value = TypeVar("Value")


class _Use(StrEnum):
    """What the store asks of Redis; each is left alone for its own failures."""

    READ = "read"
    WRITE = "written to"


class RedisStore:
    """Keeps values for a time; asks a Redis that has failed again only after a while.

    A Redis that refuses writes alone (it is full, or a copy) goes on being read. What is wrong with one key concerns no
    other.

    Args:
        url: `redis://host:port/database`.
        keep_s: how long a value is kept.
    """

    bytes_held = 0

    def __init__(self, url: str, keep_s: int, clock: Clock = time.monotonic) -> None:
        self._redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._keep_s = keep_s
        self._clock = clock
        self._again_at_s = dict.fromkeys(_Use, clock())

    async def get(self, key: str) -> bytes | None:
        value = await self._or_none(_Use.READ, lambda: self._redis.get(key))
        return value if isinstance(value, bytes) else None

    async def put(self, key: str, value: bytes) -> bool:
        return bool(await self._or_none(_Use.WRITE, lambda: self._redis.set(key, value, ex=self._keep_s)))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _or_none(self, use: _Use, call: Callable[[], Awaitable[Value]]) -> Value | None:
        if self._clock() < self._again_at_s[use]:
            return None
        try:
            return await call()
        except Exception as error:  # whatever it is, a cache that fails costs no answer
            if not is_own_shortage(error):
                self._leave_alone(use, error)
            return None

    def _leave_alone(self, use: _Use, error: Exception) -> None:
        """Ask no more for a while: for this use where Redis has answered, for any where it has not."""
        answered = isinstance(error, ResponseError)
        if answered and str(error).startswith(_NO_VALUE):  # of one key, which is written anew
            return
        again_at_s = self._clock() + _LEFT_ALONE_S
        for each in (use,) if answered else _Use:
            self._again_at_s[each] = again_at_s
        what = f"not {use}" if answered else "off"
        _log.warning("the feature cache is %s for %.0f s: %s", what, _LEFT_ALONE_S, error)
