"""A stage with two replicas, one of which is in trouble: the caller does not notice, and nothing is done twice."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from aiohttp import web

from splitway.gateway.app import create_app
from splitway.gateway.settings import GatewaySettings
from tests.gateway.conftest import Handler, answer, classes, features, good_classifier, good_extractor, serving
from tests.gateway.hop.test_stage_client import TROUBLE, refusing

JPEG = {"content-type": "image/jpeg"}
RETRIED = ("408", "503", "504", "garbage", "half a tensor", "reply broken off", "connection closed", "no tensors")


class Counting:
    """Wraps a handler and counts its calls."""

    def __init__(self, handler: Handler) -> None:
        self.calls: list[web.Request] = []
        self._handler = handler

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request)
        return await self._handler(request)


@asynccontextmanager
async def gateway(
    extractors: list[Handler], classifiers: list[Handler], **settings: object
) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway in front of these replicas."""
    async with AsyncExitStack() as stack:
        urls = {
            stage: ",".join([await stack.enter_async_context(serving(stage, handler)) for handler in handlers])
            for stage, handlers in (("feature_extractor", extractors), ("classifier", classifiers))
        }
        app = create_app(GatewaySettings.model_validate({**urls, **settings}))
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))


async def _classify(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post("/v1/classify", content=b"picture", headers={**JPEG, **headers})


async def _classify_until_asked(client: httpx.AsyncClient, replica: Counting) -> list[httpx.Response]:
    """Eight answers or more: which replica is asked is chance, and in one of 256 runs eight calls miss one of two."""
    replies = [await _classify(client) for _ in range(8)]
    while not replica.calls and len(replies) < 64:
        replies.append(await _classify(client))
    assert replica.calls, f"never asked in {len(replies)} requests"
    return replies


@pytest.mark.parametrize("trouble", RETRIED)
async def test_the_other_replica_answers_and_the_backbone_runs_once(trouble: str) -> None:
    bad, good = Counting(TROUBLE[trouble][0]), Counting(good_classifier)
    backbone = Counting(good_extractor)
    async with gateway([backbone.handle], [bad.handle, good.handle]) as client:
        replies = await _classify_until_asked(client, bad)
        metrics = (await client.get("/metrics")).text
    assert {reply.status_code for reply in replies} == {200}
    assert len(backbone.calls) == len(good.calls) == len(replies)
    retried = [reply for reply in replies if reply.headers["x-attempt-count"] == "2"]
    assert len(retried) == len(bad.calls)
    assert {call.headers["x-attempt-count"] for call in bad.calls} == {"1"}
    counted = re.findall(
        r'^splitway_gateway_retries_total{outcome="(\w+)",stage="classifier"} ([1-9].*)', metrics, re.M
    )
    assert counted == [(TROUBLE[trouble][2], str(float(len(bad.calls))))]


@pytest.mark.parametrize("trouble", ["two rows for one", "no feature space"])
async def test_features_that_make_no_sense_are_asked_of_the_other_replica(trouble: str) -> None:
    bad, good = Counting(TROUBLE[trouble][0]), Counting(good_extractor)
    async with gateway([bad.handle, good.handle], [good_classifier]) as client:
        replies = await _classify_until_asked(client, bad)
    assert {reply.status_code for reply in replies} == {200}


async def test_classes_that_make_no_sense_are_asked_of_the_other_replica() -> None:
    async def nonsense(_: web.Request) -> web.StreamResponse:
        return answer("classifier", classes(b"nan:1:dog"))

    bad = Counting(nonsense)
    async with gateway([good_extractor], [bad.handle, good_classifier]) as client:
        replies = await _classify_until_asked(client, bad)
    assert {reply.status_code for reply in replies} == {200}


async def test_a_hedge_answers_for_a_replica_that_stalls_now_and_then() -> None:
    """One of twenty first calls stalls for longer than an attempt may take; with a hedge nobody waits for that."""
    stalls = itertools.cycle([False] * 19 + [True])

    async def moody(request: web.Request) -> web.StreamResponse:
        if next(stalls):
            await asyncio.sleep(5)
        return await good_classifier(request)

    async with gateway([good_extractor], [moody, moody], hedge={"classifier": 0.9}, attempt_timeout_ms=8000) as client:
        for _ in range(110):  # what is usual has to be learned first
            await _classify(client, **{"x-request-timeout-ms": "300"})
        replies = [await _classify(client, **{"x-request-timeout-ms": "2000"}) for _ in range(60)]
        metrics = (await client.get("/metrics")).text
        stage = (await client.get("/v1/pipeline")).json()["stages"][1]
    assert [reply.status_code for reply in replies] == [200] * 60
    assert {reply.headers["x-attempt-count"] for reply in replies} == {"1", "2"}
    assert 'splitway_gateway_hedges_total{outcome="ok",stage="classifier"}' in metrics
    assert sum(replica["attempts"].get("cancelled", 0) for replica in stage["replicas"]) >= 3


@pytest.mark.parametrize("trouble", ["400", "409", "413", "500"])
async def test_what_another_attempt_would_not_change_is_not_tried_again(trouble: str) -> None:
    handler, status, code = TROUBLE[trouble]
    one, other = Counting(handler), Counting(handler)
    async with gateway([one.handle, other.handle], [good_classifier]) as client:
        reply = await _classify(client)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert len(one.calls) + len(other.calls) == 1


KILLS = ("connection closed", "reply broken off")


@pytest.mark.parametrize("trouble", KILLS)
async def test_a_request_with_which_two_connections_are_lost_is_given_to_no_third_replica(trouble: str) -> None:
    """Nor, for a minute, to a second; others are, and so is the same as another model's input."""

    async def deadly(request: web.Request) -> web.StreamResponse:
        return await (TROUBLE[trouble][0] if b"deadly" in await request.read() else good_extractor)(request)

    replicas = [Counting(deadly) for _ in range(4)]
    calls = []
    async with gateway([each.handle for each in replicas], [good_classifier]) as client:
        for picture in (b"deadly", b"deadly", b"deadly too", b"harmless"):
            reply = await client.post("/v1/classify", content=picture, headers=JPEG)
            calls.append((reply.status_code, sum(len(each.calls) for each in replicas)))
        body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["deadly"]}]}
        reply = await client.post("/v2/models/pipeline/infer", json=body)
        calls.append((reply.status_code, sum(len(each.calls) for each in replicas)))
        assert 'suspect_requests{stage="feature_extractor"} 2.0' in (await client.get("/metrics")).text
    lost = TROUBLE[trouble][1]
    assert calls == [(lost, 2), (lost, 3), (lost, 5), (200, 6), (lost, 7)]


async def test_a_request_that_loses_one_connection_is_retried_however_often_it_comes() -> None:
    closes = Counting(TROUBLE["connection closed"][0])
    async with gateway([closes.handle, good_extractor], [good_classifier], breakers="forced_closed") as client:
        replies = await _classify_until_asked(client, closes)
    assert {reply.status_code for reply in replies} == {200}


async def test_a_suspect_is_not_hedged() -> None:
    takes_s, calls = 0.0, 0

    async def extractor(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        await asyncio.sleep(max(0.0, takes_s))
        return await (good_extractor if takes_s >= 0 else TROUBLE["connection closed"][0])(request)

    async with gateway([extractor, extractor], [good_classifier], hedge={"feature_extractor": 0.9}) as client:
        for _ in range(128):
            assert (await client.post("/v1/classify", content=b"usual", headers=JPEG)).status_code == 200
        takes_s = -1.0
        assert (await _classify(client)).status_code == 503
        takes_s, calls = 0.5, 0
        assert (await _classify(client)).status_code == 200
        assert calls == 1
        assert (await client.post("/v1/classify", content=b"another", headers=JPEG)).status_code == 200
        assert calls == 3, "another is hedged as ever"


async def test_a_refused_connection_costs_no_token(unused_tcp_port: int) -> None:
    backbone = Counting(good_extractor)
    async with gateway([good_extractor], [good_classifier]) as client:
        before = (await client.get("/v1/pipeline")).json()["stages"][0]["retry_budget"]
    assert before == 10
    async with serving("feature_extractor", backbone.handle) as alive, serving("classifier", good_classifier) as head:
        dead = f"http://127.0.0.1:{unused_tcp_port}"
        app = create_app(
            GatewaySettings(feature_extractor=f"{alive},{dead}", classifier=head, probe_interval_ms=60_000)
        )
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
        ):
            for replica in app.state.pipeline.stages[0].replicas.replicas:
                replica.serves(app.state.pipeline.stages[0].replicas.replicas[0].models)
                replica.is_ready()
                replica.answered_in(0.001 if replica.url == dead else 60.0)
            replies = [await _classify(client) for _ in range(6)]
            stage = (await client.get("/v1/pipeline")).json()["stages"][0]
    assert [reply.status_code for reply in replies] == [200] * 6
    assert stage["retry_budget"] == 10
    assert "unreachable" in {replica["state"] for replica in stage["replicas"]}


async def test_a_hanging_replica_is_left_after_the_attempts_time_and_then_avoided() -> None:
    async def hangs(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits this long")

    stuck = Counting(hangs)
    async with gateway([good_extractor], [stuck.handle, good_classifier], attempt_timeout_ms=2000) as client:
        replies = [await asyncio.gather(*(_classify(client) for _ in range(8))) for _ in range(6)]
    assert [reply.status_code for wave in replies for reply in wave] == [200] * 48
    assert len(stuck.calls) <= 12


async def test_a_total_outage_is_not_amplified() -> None:
    bad = [Counting(refusing(502)), Counting(refusing(502))]
    async with gateway([each.handle for each in bad], [good_classifier]) as client:
        replies = [await _classify(client) for _ in range(300)]
    assert {reply.status_code for reply in replies} <= {502, 503}
    calls = sum(len(each.calls) for each in bad)
    assert calls <= 1.15 * 300


async def test_a_replica_that_refuses_three_calls_in_five_is_avoided() -> None:
    """300 requests: at least 99 % succeed, at no more than 1.15 times the load."""
    dice = random.Random(5)
    ends = {True: refusing(503), False: good_classifier}

    async def moody(request: web.Request) -> web.StreamResponse:
        return await ends[dice.random() < 0.6](request)

    bad, good = Counting(moody), Counting(good_classifier)
    async with gateway([good_extractor], [bad.handle, good.handle]) as client:
        replies = [await _classify(client) for _ in range(300)]
    assert [reply.status_code for reply in replies].count(200) >= 297
    assert len(bad.calls) + len(good.calls) <= 1.15 * 300


async def test_a_forced_breaker_is_a_setting() -> None:
    async with gateway([good_extractor], [good_classifier], breakers="forced_open") as client:
        reply = await _classify(client)
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
    assert "breakers of all its replicas are open" in reply.json()["detail"]


async def test_the_door_sheds_what_the_stages_cannot_bear() -> None:
    release = asyncio.Event()

    async def waits(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return answer("feature_extractor", features())

    async with gateway([waits], [good_classifier], max_in_flight=4) as client:
        tasks = [asyncio.create_task(_classify(client)) for _ in range(200)]
        soonest = asyncio.as_completed(tasks, timeout=30)
        shed = [await next(soonest) for _ in range(200 - 4 - 128)]
        release.set()
        answered = [await each for each in soonest]
    assert {reply.status_code for reply in shed} == {503}
    assert {reply.json()["code"] for reply in shed} == {"overloaded"}
    assert {reply.headers["retry-after"] for reply in shed} == {"1"}
    assert {reply.status_code for reply in answered} == {200}
