"""Features in a real Redis; and what becomes of the answers when it dies."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.redis_store import RedisStore
from tests.gateway.conftest import Gateway
from tests.gateway.test_cache import _classify

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


async def test_a_redis_that_is_not_there_is_asked_only_now_and_then(unused_tcp_port: int) -> None:
    store = RedisStore(f"redis://127.0.0.1:{unused_tcp_port}/0", 60)
    assert await store.get("key") is None
    started_s = time.perf_counter()
    for _ in range(200):
        await store.put("key", b"value")
        assert await store.get("key") is None
    assert time.perf_counter() - started_s < 5, "each of these would have waited for a connection"
    await store.close()
