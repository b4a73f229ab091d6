"""Features in a real Redis; and what becomes of the answers when it dies."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import client

from splitway.gateway.flow.feature_cache import _packed, _unpacked
from splitway.gateway.flow.redis_store import RedisStore
from splitway.wire.tensor import Tensor
from tests.gateway.conftest import Gateway
from tests.gateway.flow.test_feature_cache import _classify

SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(SERVER is None, reason="no redis-server here; on Debian: apt-get install redis-server")


class Redis:
    """One redis-server of the test's own, on loopback, that writes nothing."""

    def __init__(self, port: int, folder: Path) -> None:
        assert SERVER is not None
        self.url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._process = subprocess.Popen([SERVER, *options], stdout=subprocess.DEVNULL)
        self._port = port

    async def tell(self, *command: object) -> Any:
        """Run one command as whoever runs the Redis would."""
        async with client.Redis.from_url(self.url) as told:
            return await told.execute_command(*command)  # type: ignore[no-untyped-call] # of redis-py

    def wait(self) -> None:
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail("redis-server does not listen")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def redis(unused_tcp_port: int, tmp_path: Path) -> Iterator[Redis]:
    server = Redis(unused_tcp_port, tmp_path)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@needs_redis
async def test_what_one_gateway_kept_another_finds(redis: Redis) -> None:
    one, other = RedisStore(redis.url, 60), RedisStore(redis.url, 60)
    await one.put("key", b"\x00value")
    assert await other.get("key") == b"\x00value"
    assert await other.get("another") is None
    await one.close()
    await other.close()


@needs_redis
async def test_a_redis_that_dies_costs_no_answer(redis: Redis, gateway_before: Gateway) -> None:
    async with gateway_before(cache=redis.url) as client:
        before = [await _classify(client) for _ in range(2)]
        redis.stop()
        after = [await _classify(client) for _ in range(3)]
    assert [reply.status_code for reply in before + after] == [200] * 5
    assert [reply.headers["cache-status"] for reply in before] == ["splitway; fwd=uri-miss; stored", "splitway; hit"]
    assert {reply.headers["cache-status"] for reply in after} == {"splitway; fwd=uri-miss"}


REFUSING_WRITES = {
    "full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "a copy": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
}
"""Commands after which a Redis takes no write, and after which it does again."""


@needs_redis
@pytest.mark.parametrize("how", REFUSING_WRITES)
async def test_a_redis_that_cannot_be_written_to_is_still_read(redis: Redis, how: str) -> None:
    refuse, take = REFUSING_WRITES[how]
    now_s = 100.0
    store = RedisStore(redis.url, 60, lambda: now_s)
    assert await store.put("key", b"value")
    await redis.tell(*refuse)
    assert not await store.put("another", b"value")
    assert await store.get("key") == b"value"
    await redis.tell(*take)
    assert not await store.put("another", b"value"), "it is left alone for a while"
    now_s += 6
    assert await store.put("another", b"value")
    await store.close()


@needs_redis
async def test_a_key_that_holds_no_value_concerns_no_other(redis: Redis) -> None:
    store = RedisStore(redis.url, 60)
    await store.put("key", b"value")
    await redis.tell("RPUSH", "list", "element")
    assert await store.get("list") is None
    assert await store.get("key") == b"value"
    assert await store.put("list", b"value")
    await store.close()


@needs_redis
@pytest.mark.parametrize("wrong", ["not a number", "infinite", "cut short", "another version", "two rows", "no space"])
async def test_an_entry_that_makes_no_sense_is_replaced_and_blames_no_replica(
    redis: Redis, gateway_before: Gateway, wrong: str
) -> None:
    async with gateway_before(cache=redis.url) as client_:
        await _classify(client_)
        (key,) = await redis.tell("KEYS", "*")
        kept = await redis.tell("GET", key)
        await redis.tell("SET", key, _spoilt(kept, wrong))
        replies = [await _classify(client_) for _ in range(2)]
        stages = (await client_.get("/v1/pipeline")).json()["stages"]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert [reply.headers["cache-status"] for reply in replies] == ["splitway; fwd=uri-miss; stored", "splitway; hit"]
    assert [set(replica["attempts"]) for stage in stages for replica in stage["replicas"]] == [{"ok"}, {"ok"}]


def _spoilt(kept: bytes, wrong: str) -> bytes:
    response = _unpacked(kept)
    (tensor,) = response.outputs
    if wrong == "cut short":
        return kept[: len(kept) // 2]
    if wrong == "another version":
        return _packed(response._replace(model_version="9"))
    if wrong == "no space":
        return _packed(response._replace(outputs=(tensor._replace(parameters={}),)))
    values = {"not a number": [[np.nan] * 4], "infinite": [[np.inf] * 4], "two rows": [[1.0] * 4] * 2}[wrong]
    array = np.array(values, np.float32)
    return _packed(response._replace(outputs=(Tensor.of_array("features", array, tensor.parameters),)))


async def test_a_redis_that_is_not_there_is_asked_only_now_and_then(unused_tcp_port: int) -> None:
    store = RedisStore(f"redis://127.0.0.1:{unused_tcp_port}/0", 60)
    assert await store.get("key") is None
    started_s = time.perf_counter()
    for _ in range(200):
        await store.put("key", b"value")
        assert await store.get("key") is None
    assert time.perf_counter() - started_s < 5, "each of these would have waited for a connection"
    await store.close()
