"""Probes and look-ups that fail, hang and come late: what becomes of the requests meanwhile."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web

from splitway.errors import DeadlineExceeded
from splitway.gateway.app import create_app
from splitway.gateway.fleet.prober import LoopLateness, Prober
from splitway.gateway.fleet.replica import ReplicaState
from splitway.gateway.fleet.replicas import ReplicaSet, StageConfig
from splitway.gateway.settings import GatewaySettings
from splitway.gateway.transport.http1 import Reply
from tests.gateway.conftest import good_classifier, good_extractor, serving
from tests.gateway.test_two_replicas import _classify

Lookup = Callable[[], list[str]]


@asynccontextmanager
async def gateway(extractor: str, classifier: str, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    given = {"feature_extractor": extractor, "classifier": classifier, "probe_interval_ms": 50, **settings}
    app = create_app(GatewaySettings.model_validate(given))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield client


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other tasks and threads do."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - threads end it too
            await asyncio.sleep(0.01)


class Resolver:
    """The machine's resolver, in which a test decides on the names that end in `.test`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: Lookup) -> None:
        self.names = names
        self.asked = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: Any, port: Any, *more: Any, **options: Any) -> list[Any]:
        if not str(host).endswith(".test"):
            return self._real(host, port, *more, **options)
        self.asked += 1
        found = self.names[host.removesuffix(".test")]()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


def _fails() -> list[str]:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


async def test_a_resolver_that_fails_takes_no_stage_away(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch, extractor=lambda: ["127.0.0.1"])
    async with (
        serving("feature_extractor", good_extractor) as one,
        serving("classifier", good_classifier) as two,
        gateway(one.replace("127.0.0.1", "extractor.test"), two) as client,
    ):
        assert (await _classify(client)).status_code == 200
        resolver.names["extractor"] = _fails
        asked = resolver.asked
        await until(lambda: resolver.asked > asked + 5)
        statuses = {(await _classify(client)).status_code for _ in range(20)}
        ready = await client.get("/readyz")
        metrics = (await client.get("/metrics")).text
    assert 'splitway_gateway_look_ups_failed_total{stage="classifier"} 0.0' in metrics
    assert 'splitway_gateway_look_ups_failed_total{stage="feature_extractor"} 0.0' not in metrics
    assert statuses == {200}
    assert ready.status_code == 200


async def test_a_name_that_does_not_resolve_at_first_is_said_and_replaced_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = Resolver(monkeypatch, extractor=_fails)
    async with (
        serving("feature_extractor", good_extractor) as one,
        serving("classifier", good_classifier) as two,
        gateway(one.replace("127.0.0.1", "extractor.test"), two) as client,
    ):
        (replica,) = (await client.get("/v1/pipeline")).json()["stages"][0]["replicas"]
        assert replica["state"] == "unreachable"
        assert "extractor.test cannot be resolved" in replica["reason"]
        resolver.names["extractor"] = lambda: ["127.0.0.1"]
        asked = resolver.asked
        await until(lambda: resolver.asked > asked + 2)
        assert (await _classify(client)).status_code == 200
        (replica,) = (await client.get("/v1/pipeline")).json()["stages"][0]["replicas"]
    assert (replica["url"], replica["state"]) == (one, "ready")


async def test_a_name_that_hangs_holds_up_neither_start_nor_probes_nor_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, probes = threading.Event(), 0

    def hangs() -> list[str]:
        gate.wait(30)
        return ["127.0.0.1"]

    async def count() -> None:
        nonlocal probes
        probes += 1

    Resolver(monkeypatch, slow=hangs)
    try:
        async with (
            serving("feature_extractor", good_extractor, on_probe=count) as one,
            serving("classifier", good_classifier) as two,
        ):
            started_s = time.monotonic()
            async with gateway(
                f"{one},http://slow.test:{one.rpartition(':')[2]}", f"{two},http://slow.test:1"
            ) as client:
                assert time.monotonic() - started_s < 4
                seen = probes
                await until(lambda: probes > seen + 10)
                assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 2) == 7
                assert (await _classify(client)).status_code == 200
                gate.set()
    finally:
        gate.set()


async def _not_ready(client: httpx.AsyncClient) -> httpx.Response:
    """Wait until the gateway says that it is not ready."""
    async with asyncio.timeout(20):
        while True:
            said = await client.get("/readyz")
            if said.status_code != 200:
                return said
            await asyncio.sleep(0.05)


async def test_a_replica_that_misses_probes_under_load_answers_all_the_same() -> None:
    """Its probes take longer than they may, and its answers do not."""
    slow, probed = asyncio.Event(), 0

    async def late() -> None:
        nonlocal probed
        probed += 1
        if slow.is_set():
            await asyncio.sleep(30)

    async with (
        serving("feature_extractor", good_extractor, on_probe=late) as one,
        serving("classifier", good_classifier) as two,
        gateway(one, two) as client,
    ):
        slow.set()
        seen, statuses = probed, []
        while probed < seen + 3:
            statuses.append((await _classify(client)).status_code)
            await asyncio.sleep(0.05)
        assert set(statuses) == {200}
        ready = await _not_ready(client)  # without calls, probes are all there is
        metrics = (await client.get("/metrics")).text
        assert f'replica_missed_total{{replica="{one}",stage="feature_extractor"}} 0.0' not in metrics
        assert f'replica_missed_total{{replica="{two}",stage="classifier"}} 0.0' in metrics
        assert "tried anyway" in ready.json()["stages"]["feature_extractor"]
        assert (await _classify(client)).status_code == 200
        assert (await client.get("/readyz")).status_code == 200, "a call that is answered is evidence too"


async def test_a_refused_call_does_not_cost_a_stage_its_only_replica(unused_tcp_port: int) -> None:
    async with serving("classifier", good_classifier) as two:
        async with serving("feature_extractor", good_extractor, port=unused_tcp_port) as one:
            started = gateway(one, two, probe_interval_ms=600_000)
            client = await started.__aenter__()
        try:
            assert (await _classify(client)).status_code == 503
            async with serving("feature_extractor", good_extractor, port=unused_tcp_port):
                assert (await _classify(client)).status_code == 200
        finally:
            await started.__aexit__(None, None, None)


async def test_one_that_says_it_is_not_ready_is_not_tried_when_it_is_gone(unused_tcp_port: int) -> None:
    models: list[dict[str, Any]] = []
    calls = 0

    async def counting(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return await good_extractor(request)

    async with (
        serving("classifier", good_classifier) as two,
        serving("feature_extractor", counting, models, port=unused_tcp_port) as one,
        gateway(one, two) as client,
    ):
        assert (await _classify(client)).status_code == 503
    assert calls == 0


class _Silent:
    """A transport on which nothing is heard; with the loop held meanwhile, or not."""

    def __init__(self, *, holds_loop_s: float) -> None:
        self._holds_loop_s = holds_loop_s
        self.heard = True
        self.asked = 0

    async def call(self, *_: object, **__: object) -> Reply:
        self.asked += 1
        if self.heard:
            return Reply(200, {}, INVENTORY)
        await asyncio.sleep(0.06)
        time.sleep(self._holds_loop_s)  # noqa: ASYNC251 - the loop is to be held
        raise DeadlineExceeded("no answer in time")


INVENTORY = (
    b'{"ready": true, "models": [{"name": "classifier", "version": "1", "state": "ready", "is_default": true, '
    b'"role": "head", "feature_space": "fs:a"}]}'
)


@pytest.mark.parametrize(("holds_loop_s", "misses"), [(0.0, 1), (0.4, 0)], ids=["on time", "itself late"])
async def test_probes_that_the_gateway_was_too_late_for_are_not_the_replicas_fault(
    holds_loop_s: float, misses: int
) -> None:
    config = StageConfig("classifier", "head", ("http://127.0.0.1:1",))
    stage = ReplicaSet(config, time.monotonic, random.random)
    transport = _Silent(holds_loop_s=holds_loop_s)

    async def nothing() -> None:
        pass

    prober = Prober([stage], transport, 1000, nothing)  # type: ignore[arg-type]
    await prober.start()
    (replica,) = stage.replicas
    assert replica.state is ReplicaState.READY
    transport.heard = False
    for _ in range(5):  # a machine that stood still meanwhile is "itself late", too
        await prober._ask(stage, replica)
        if replica.misses == misses:
            break
    await prober.close()
    assert (replica.state, replica.misses) == (ReplicaState.READY, misses)


async def test_a_loop_that_is_held_is_late_by_as_much_and_an_idle_one_hardly() -> None:
    lateness = LoopLateness()
    lateness.start()
    await asyncio.sleep(0.1)
    before_s = lateness.total_s
    time.sleep(0.3)  # noqa: ASYNC251 - the loop is to be held
    at_once_s = lateness.total_s - before_s
    await asyncio.sleep(0.1)
    assert at_once_s > 0.2
    assert lateness.total_s - before_s >= at_once_s
    lateness.stop()
    seen_s = lateness.total_s
    await asyncio.sleep(0)
    assert lateness.total_s == seen_s
