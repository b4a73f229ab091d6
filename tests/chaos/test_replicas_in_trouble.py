"""Two replicas a stage, real processes, steady load: what happens to one of them does not happen to the caller.

Every answer is checked against the oracle's for its own picture; after each scenario one healthy request succeeds and
nothing is left in flight.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from splitway.bundle import Bundle
from splitway.cli.launch import LaunchPlan, LocalPipeline
from tests.chaos.history import History, Pictures, steady_load
from tests.chaos.proxy import Proxy, Toxics
from tests.support import LogBook

RATE = 25.0
SECONDS = 8.0
TROUBLE_AT_S = 2.0


@dataclass
class Arena:
    """Two replicas a stage, each behind a proxy, and a gateway in front of the proxies."""

    pipeline: LocalPipeline
    proxies: dict[str, list[Proxy]]
    url: str

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=5, trust_env=False)


def _gateway(proxies: dict[str, list[Proxy]], stack: ExitStack) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    addresses = {f"SPLITWAY_{s.upper()}": ",".join(p.url for p in several) for s, several in proxies.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "serve", "gateway", "--port", str(port)],
        env={**os.environ, **addresses, "SPLITWAY_PROBE_INTERVAL_MS": "250", "SPLITWAY_ATTEMPT_TIMEOUT_MS": "1000"},
    )
    stack.callback(process.wait, 40)
    stack.callback(process.terminate)
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def arena(models: Path) -> Iterator[Arena]:
    plan = LaunchPlan(
        models,
        port=0,
        replicas={"feature_extractor": 2, "classifier": 2},
        environment={"SPLITWAY_THREADS": "1", "SPLITWAY_DRAIN_S": "1"},
        run_file=None,
    )
    with ExitStack() as stack:
        pipeline = stack.enter_context(LocalPipeline(plan, LogBook().line))
        pipeline.wait_ready()
        proxies = {
            stage: [stack.enter_context(Proxy(process.url)) for process in pipeline.of(stage)]
            for stage in ("feature_extractor", "classifier")
        }
        made = Arena(pipeline, proxies, _gateway(proxies, stack))
        _until(lambda: _all_ready(made), 30)
        yield made


def _all_ready(arena: Arena) -> bool:
    try:
        stages = arena.get("/v1/pipeline").json()["stages"]
    except httpx.TransportError:
        return False
    return all(replica["state"] == "ready" for stage in stages for replica in stage["replicas"])


def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def pictures(extractor_bundle: Bundle, head_bundle: Bundle) -> Pictures:
    return Pictures(40, extractor_bundle, head_bundle)


def _run(arena: Arena, pictures: Pictures, trouble: Callable[[], None], seconds: float = SECONDS) -> History:
    """Steady load with trouble in the middle; afterwards a healthy request, and nothing left over."""

    async def both() -> History:
        load = asyncio.create_task(steady_load(arena.url, pictures, rate=RATE, seconds=seconds))
        await asyncio.sleep(TROUBLE_AT_S)
        await asyncio.to_thread(trouble)
        return await load

    history = asyncio.run(both())
    assert asyncio.run(steady_load(arena.url, pictures, rate=1, seconds=1)).success == 1
    _until(lambda: "splitway_gateway_in_flight 0.0" in arena.get("/metrics").text, 5)
    stages = arena.get("/v1/pipeline").json()["stages"]
    assert sum(replica["in_flight"] for stage in stages for replica in stage["replicas"]) == 0
    return history


@pytest.mark.parametrize("stage", ["feature_extractor", "classifier"])
def test_a_replica_that_is_told_to_stop_costs_no_request(arena: Arena, pictures: Pictures, stage: str) -> None:
    victim = arena.pipeline.of(stage)[0].popen
    history = _run(arena, pictures, lambda: victim.send_signal(signal.SIGTERM))
    assert history.success == 1, history.failures()


@pytest.mark.parametrize("stage", ["feature_extractor", "classifier"])
def test_a_replica_that_is_killed_costs_next_to_nothing(arena: Arena, pictures: Pictures, stage: str) -> None:
    history = _run(arena, pictures, arena.pipeline.of(stage)[0].popen.kill)
    assert history.success >= 0.995, history.failures()


def test_a_frozen_replica_is_left_behind(arena: Arena, pictures: Pictures) -> None:
    victim = arena.pipeline.of("feature_extractor")[0].popen
    try:
        history = _run(arena, pictures, lambda: victim.send_signal(signal.SIGSTOP))
    finally:
        victim.send_signal(signal.SIGCONT)
    assert history.success >= 0.99, history.failures()


def test_a_cut_network_is_gone_around(arena: Arena, pictures: Pictures) -> None:
    history = _run(arena, pictures, arena.proxies["feature_extractor"][0].down)
    assert history.success >= 0.99, history.failures()


TOXICS = {
    "reset_peer": Toxics(reset_peer=True),
    "timeout": Toxics(timeout=True),
    "limit_data": Toxics(limit_data_bytes=700),
    "slicer": Toxics(slicer_bytes=100),
    "bandwidth": Toxics(bandwidth_kb_s=100),
    "latency": Toxics(latency_s=0.3),
}


@pytest.mark.parametrize("toxics", TOXICS.values(), ids=TOXICS.keys())
def test_a_bad_line_to_one_replica(arena: Arena, pictures: Pictures, toxics: Toxics) -> None:
    proxy = arena.proxies["classifier"][0]
    history = _run(arena, pictures, lambda: setattr(proxy, "toxics", toxics))
    assert history.success >= 0.99, history.failures()


def test_a_slow_replica_does_not_slow_the_pipeline_for_long(arena: Arena, pictures: Pictures) -> None:
    """The mark is twice the healthy p99; 50 ms on top are what two cores shared with the load need for a hiccup."""
    healthy = asyncio.run(steady_load(arena.url, pictures, rate=RATE, seconds=5))
    proxy = arena.proxies["classifier"][0]
    history = _run(arena, pictures, lambda: setattr(proxy, "toxics", Toxics(latency_s=0.3)), seconds=20)
    assert history.success == 1, history.failures()
    assert history.p99_s(after_s=TROUBLE_AT_S + 10) <= 2 * healthy.p99_s() + 0.05


def test_an_outage_ends_when_the_stage_is_back(arena: Arena, pictures: Pictures) -> None:
    """Both classifiers are away for three seconds: callers are told at once, and all is well soon after."""
    proxies = arena.proxies["classifier"]

    def outage() -> None:
        for proxy in proxies:
            proxy.down()
        time.sleep(3)
        for proxy in proxies:
            proxy.up()

    history = _run(arena, pictures, outage, seconds=10)
    assert set(history.statuses) <= {200, 503}, history.failures()
    late = [entry for entry in history.entries if entry.sent_s > TROUBLE_AT_S + 3 + 2]
    assert all(entry.status == 200 for entry in late), history.failures()
    refused = [entry.took_s for entry in history.entries if entry.status == 503]
    assert sorted(refused)[len(refused) // 2] < 0.5
