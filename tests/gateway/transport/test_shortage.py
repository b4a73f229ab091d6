"""Out of files, memory or ports of its own, a gateway blames nobody else."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from splitway.errors import Overloaded, Unreachable
from splitway.gateway.callers.redis_windows import RedisWindows
from splitway.gateway.callers.sliding_window import Limit
from splitway.gateway.flow.redis_store import RedisStore
from splitway.gateway.transport.shortage import is_own_shortage
from splitway.gateway.transport.transport import Transport
from tests.gateway.conftest import Gateway
from tests.gateway.flow.test_feature_cache import _classify

OWN = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]


@contextmanager
def no_files_left() -> Iterator[None]:
    """This process can open no further file."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    newest = os.dup(0)
    os.close(newest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (newest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _raised(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("number", OWN, ids=errno.errorcode.get)
def test_what_came_of_ones_own_shortage_is_known(number: int) -> None:
    error = OSError(number, os.strerror(number))
    assert is_own_shortage(error)
    assert is_own_shortage(_raised(ValueError(), _raised(ConnectionError("no connection"), error)))


def test_what_others_did_is_no_shortage() -> None:
    assert not is_own_shortage(None)
    for number in (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EPIPE):
        assert not is_own_shortage(OSError(number, os.strerror(number)))
    circle = ValueError()
    circle.__cause__ = _raised(ValueError(), circle)
    assert not is_own_shortage(circle)


async def test_a_call_without_a_file_for_it_is_overload_and_not_unreachable(unused_tcp_port: int) -> None:
    """The real error, of the kernel."""
    transport = Transport(1000)
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    with no_files_left(), pytest.raises(Overloaded, match="this gateway has no resources") as caught:
        await transport.call("classifier", "GET", url, timeout_s=5, headers={})
    assert caught.value.retry_after_s == 1
    with pytest.raises(Unreachable):
        await transport.call("classifier", "GET", url, timeout_s=5, headers={})
    transport.close()


@pytest.mark.parametrize("number", OWN, ids=errno.errorcode.get)
async def test_no_replica_is_blamed_and_the_next_request_is_answered(
    gateway_before: Gateway, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    tried = 0

    async def fails(*_: object) -> None:
        nonlocal tried
        tried += 1
        raise OSError(number, os.strerror(number))

    async with gateway_before() as client:
        before = (await client.get("/v1/pipeline")).json()["stages"]
        with monkeypatch.context() as short:
            short.setattr(Transport, "_made", fails)
            short.setattr(Transport, "_take", lambda *_: None)
            for _ in range(20):
                reply = await _classify(client)
                assert (reply.status_code, reply.json()["code"]) == (503, "overloaded")
                assert reply.headers["retry-after"] == "1"
                assert "127.0.0.1" not in reply.text
            before_probes = tried
            async with asyncio.timeout(10):
                while tried < before_probes + 4:  # noqa: ASYNC110 - probes of both stages, which fail as well
                    await asyncio.sleep(0.01)
        after = (await client.get("/v1/pipeline")).json()["stages"]
        for stage, earlier in zip(after, before, strict=True):
            (replica,) = stage["replicas"]
            assert (replica["state"], replica["breaker"]) == ("ready", "closed")
            assert stage["retry_budget"] >= earlier["retry_budget"]
        metrics = (await client.get("/metrics")).text
        missed = [line for line in metrics.splitlines() if line.startswith("splitway_gateway_replica_missed_total{")]
        assert missed
        assert all(line.endswith(" 0.0") for line in missed)
        assert (await _classify(client)).status_code == 200


async def test_a_redis_is_not_left_alone_for_it(unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    url = f"redis://127.0.0.1:{unused_tcp_port}/0"
    store, windows = RedisStore(url, 60), RedisWindows(url, time.monotonic)
    limit = Limit("cost", 10, 60)
    with caplog.at_level(logging.WARNING):
        with no_files_left():
            assert await store.get("a") is None
            assert (await windows.take("a", limit, 1)).taken
        assert not caplog.records
        assert await store.get("a") is None
        assert (await windows.take("a", limit, 1)).taken
    assert len(caplog.records) == 2, "both were asked again at once, and nobody is there"
    await store.close()
    await windows.close()
