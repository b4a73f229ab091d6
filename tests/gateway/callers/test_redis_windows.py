"""Counts in a real Redis, shared by gateways; and what becomes of them when it dies or hangs."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from splitway.gateway.callers.redis_windows import RedisWindows
from splitway.gateway.callers.sliding_window import Limit
from tests.gateway.flow.test_redis_store import Redis, needs_redis, redis

__all__ = ["redis"]
TEN = Limit("cost", 10, 60)
PATIENCE_S = 20
"""However busy the machine is."""


@needs_redis
async def test_two_gateways_count_together_and_none_twice(redis: Redis) -> None:
    one, other = (RedisWindows(redis.url, time.monotonic, PATIENCE_S) for _ in range(2))
    ends = await asyncio.gather(*(windows.take("a", TEN, 1) for windows in (one, other) for _ in range(20)))
    assert sum(end.taken for end in ends) == 10
    first = await one.take("b", TEN, 7)
    assert (first.taken, first.remaining) == (True, 3)
    assert 58 < first.reset_s <= 60
    refused = await other.take("b", TEN, 4)
    assert (refused.taken, refused.remaining) == (False, 3)
    assert 60 < refused.wait_s < 120
    await one.close()
    await other.close()


@needs_redis
async def test_when_it_dies_each_gateway_counts_alone(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    windows = RedisWindows(redis.url, time.monotonic, PATIENCE_S)
    assert (await windows.take("a", TEN, 10)).remaining == 0
    redis.stop()
    after = [(await windows.take("a", TEN, 4)).taken for _ in range(4)]
    assert after == [True, True, False, False]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "127.0.0.1" not in said[0]
    await windows.close()


@needs_redis
async def test_counts_that_are_none_stop_no_request(redis: Redis) -> None:
    windows = RedisWindows(redis.url, time.monotonic, PATIENCE_S)
    await windows.take("a", TEN, 1)
    for key in await redis.tell("KEYS", "*"):
        await redis.tell("SET", key, "no number")
    assert (await windows.take("a", TEN, 1)).taken
    await redis.tell("CONFIG", "SET", "maxmemory", "1")
    assert (await windows.take("b", TEN, 1)).taken
    await windows.close()


@pytest.fixture
def deaf() -> Iterator[str]:
    """A Redis that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


async def test_one_that_hangs_is_waited_for_once_and_not_for_each_request(deaf: str) -> None:
    windows = RedisWindows(deaf, time.monotonic)
    started_s = time.perf_counter()
    await asyncio.gather(*(windows.take("a", TEN, 1) for _ in range(50)))
    for _ in range(200):
        await windows.take("a", TEN, 1)
    assert time.perf_counter() - started_s < 5, "250 waits one after another would take two minutes"
    await windows.close()


@needs_redis
async def test_when_it_is_back_it_counts_again(redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    windows = RedisWindows(redis.url, lambda: now_s, PATIENCE_S)
    windows._leave_alone(TimeoutError())
    await windows.take("a", TEN, 5)
    now_s += 6
    assert (await windows.take("a", TEN, 1)).remaining == 9
    assert len(caplog.records) == 2
    await windows.close()
