"""What the gateway counts, by the names that dashboards use."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from splitway.gateway.observe.metrics import GatewayMetrics
from splitway.telemetry.metrics import exposition
from splitway.telemetry.outcome import OUTCOMES
from tests.gateway.conftest import Gateway
from tests.gateway.hop.test_stage_client import TROUBLE, classify

ROUTE = 'route="/v1/classify"'
TENSOR = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["picture"]}


def _value(metrics: str, name: str, labels: str = "") -> float:
    """The one sample of this name whose labels begin so."""
    (found,) = re.findall(rf"^splitway_gateway_{name}(?:{{{re.escape(labels)}}})? (\S+)$", metrics, re.MULTILINE)
    return float(found)


async def test_what_is_known_to_come_begins_with_0(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        metrics = (await client.get("/metrics")).text
        replicas = {s["name"]: s["replicas"][0]["url"] for s in (await client.get("/v1/pipeline")).json()["stages"]}
    for outcome in OUTCOMES:
        assert _value(metrics, "requests_total", f'outcome="{outcome}",{ROUTE}') == 0
        assert _value(metrics, "retries_total", f'outcome="{outcome}",stage="classifier"') == 0
        for stage, url in replicas.items():
            assert _value(metrics, "attempts_total", f'outcome="{outcome}",replica="{url}",stage="{stage}"') == 0
    for reason in ("queue_full", "wait_too_long", "waited_in_vain"):
        assert _value(metrics, "shed_total", f'outcome="{reason}"') == 0
    assert _value(metrics, "deadline_misses_total", 'stage="gateway"') == 0
    assert "_created" not in metrics


async def test_an_answer_is_counted_with_its_bytes_its_hops_and_what_the_composition_cost(
    gateway_before: Gateway,
) -> None:
    async with gateway_before() as client:
        reply = await classify(client)
        metrics = (await client.get("/metrics")).text
    assert _value(metrics, "requests_total", f'outcome="ok",{ROUTE}') == 1
    assert _value(metrics, "received_bytes_total", ROUTE) == len(b"picture")
    assert _value(metrics, "sent_bytes_total", ROUTE) == len(reply.content)
    assert _value(metrics, "admission_wait_seconds_count") == 1
    for stage in ("feature_extractor", "classifier"):
        assert _value(metrics, "hop_duration_seconds_count", f'stage="{stage}"') == 1
        assert _value(metrics, "stage_sent_bytes_total", f'stage="{stage}"') > 0
        assert _value(metrics, "stage_received_bytes_total", f'stage="{stage}"') > 0
    composed = _value(metrics, "composition_seconds_sum", ROUTE)
    assert 0 < composed <= _value(metrics, "duration_seconds_sum", ROUTE)
    assert re.search(r'^splitway_gateway_model_info{.*head="classifier",.*version="1"} 1.0$', metrics, re.MULTILINE)


@pytest.mark.parametrize(("trouble", "outcome"), [("500", "engine_failed"), ("504", "deadline_exceeded")])
async def test_a_failed_turn_is_a_turn(gateway_before: Gateway, trouble: str, outcome: str) -> None:
    async with gateway_before(classifier=TROUBLE[trouble][0]) as client:
        await classify(client)
        metrics = (await client.get("/metrics")).text
    assert _value(metrics, "requests_total", f'outcome="{outcome}",{ROUTE}') == 1
    assert _value(metrics, "hop_duration_seconds_count", 'stage="classifier"') == 1
    assert _value(metrics, "deadline_misses_total", 'stage="classifier"') == (outcome == "deadline_exceeded")


async def test_bodies_that_cannot_be_read_are_requests_too(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        await client.post("/v2/models/pipeline/infer", content=b"{")
        await client.post("/v2/models/pipeline/infer", json={"inputs": [TENSOR]})
        metrics = (await client.get("/metrics")).text
        counted = (await client.get("/v1/pipeline")).json()["gateway"]["requests"]
    route = 'route="/v2/models/pipeline/infer"'
    assert _value(metrics, "requests_total", f'outcome="invalid_input",{route}') == 1
    assert _value(metrics, "requests_total", f'outcome="ok",{route}') == 1
    assert counted == {"ok": 1, "invalid_input": 1}


async def test_requests_over_their_rate_are_requests_too(gateway_before: Gateway) -> None:
    async with gateway_before(rate_per_second=1) as client:
        statuses = [(await classify(client)).status_code for _ in range(4)]
        metrics = (await client.get("/metrics")).text
        counted = (await client.get("/v1/pipeline")).json()["gateway"]["requests"]
    refused = statuses.count(429)
    assert refused >= 2
    assert _value(metrics, "requests_total", f'outcome="rate_limited",{ROUTE}') == refused
    assert _value(metrics, "rate_limited_total") == refused
    assert counted == {"ok": 4 - refused, "rate_limited": refused}


async def test_how_long_a_caller_takes_to_send_is_not_what_the_split_costs(gateway_before: Gateway) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"pic"
        await asyncio.sleep(0.3)
        yield b"ture"

    async with gateway_before() as client:
        reply = await client.post("/v1/classify", content=slowly(), headers={"content-type": "image/jpeg"})
        metrics = (await client.get("/metrics")).text
    assert reply.json()["timings_ms"]["total"] >= 300  # what he waited for his answer is said all the same
    assert _value(metrics, "composition_seconds_sum", ROUTE) < 0.3
    assert _value(metrics, "duration_seconds_sum", ROUTE) < 0.3


async def test_a_caller_who_allows_next_to_no_time_fails_nobody(gateway_before: Gateway) -> None:
    async def busy(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        raise AssertionError("nobody waits this long")

    async with gateway_before(extractor=busy) as client:
        reply = await classify(client, **{"x-request-timeout-ms": "50"})
        seen = (await client.get("/v1/pipeline")).json()["gateway"]["requests"]
    assert (reply.status_code, reply.json()["code"]) == (504, "deadline_exceeded")
    assert seen == {"caller_deadline": 1}


def test_a_replica_that_is_gone_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, now_s = GatewayMetrics(("/v1/classify",), ("classifier",)), 0.0
    monkeypatch.setattr("splitway.gateway.observe.metrics.time.monotonic", lambda: now_s)
    for number in range(3):
        metrics.expect("classifier", f"http://10.0.0.{number}")
    metrics.forget("classifier", "http://10.0.0.0")
    metrics.forget("classifier", "http://10.0.0.1")
    now_s = 200.0
    metrics.expect("classifier", "http://10.0.0.1")  # comes back
    assert b"10.0.0.0" in exposition(metrics.registry).body
    now_s = 400.0
    metrics.expect("classifier", "http://10.0.0.3")
    text = bytes(exposition(metrics.registry).body)
    assert b"10.0.0.0" not in text
    assert all(f"10.0.0.{number}".encode() in text for number in (1, 2, 3))
