"""What one caller sends must not move what all callers share: breakers, the limit at the door."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web

from splitway.wire.messages import InferRequest, RequestedOutput
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_request
from testkit.support import picture
from tests.gateway.conftest import Gateway, good_classifier, good_extractor
from tests.gateway.hop.test_stage_client import refusing

INFER = "/v2/models/pipeline/infer"


def request_for(*outputs: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """One picture in binary, and these outputs asked for."""
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [picture()]),)))
    header = orjson.loads(body[: int(length)]) | {"outputs": list(outputs)}
    text = orjson.dumps(header)
    return text + body[int(length) :], {HEADER_LENGTH: str(len(text))}


@pytest.mark.parametrize(
    ("outputs", "status"),
    [
        ([{"name": "probabilities"}] * 60_000, 413),
        ([{"name": f"p{n}"} for n in range(300)], 413),
        ([{"name": "probabilities"}] * 2, 400),
        ([{"name": "probabilities", "parameters": {"x": "a" * 1_100_000}}], 413),
        ([{"name": "probabilities", "parameters": {f"p{n}": n for n in range(100)}}], 413),
    ],
    ids=["60,000 times one", "300", "twice", "a long parameter", "100 parameters"],
)
async def test_outputs_without_end_are_the_callers_own_fault(
    gateway_before: Gateway, outputs: list[dict[str, Any]], status: int
) -> None:
    async with gateway_before() as client:
        body, headers = request_for(*outputs)
        for _ in range(12):
            assert (await client.post(INFER, content=body, headers=headers)).status_code == status
        (stage,) = [
            each for each in (await client.get("/v1/pipeline")).json()["stages"] if each["name"] == "classifier"
        ]
        assert stage["replicas"][0]["breaker"] == "closed"
        assert not stage["replicas"][0]["attempts"]


async def test_a_head_is_told_what_it_reads_and_nothing_else(gateway_before: Gateway) -> None:
    asked: list[tuple[RequestedOutput, ...]] = []

    async def classifier(request: web.Request) -> web.StreamResponse:
        asked.append(parse_request(await request.read(), request.headers.get(HEADER_LENGTH)).outputs)
        return await good_classifier(request)

    async with gateway_before(classifier=classifier) as client:
        more = {"classification": 2, "binary_data": False, "anything": "else"}
        body, headers = request_for({"name": "probabilities", "parameters": more})
        assert (await client.post(INFER, content=body, headers=headers)).status_code == 200
    assert [(output.name, dict(output.parameters)) for output in asked[0]] == [("probabilities", {"classification": 2})]


async def test_a_hurried_caller_leaves_the_door_as_wide_as_it_was(gateway_before: Gateway) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return await good_extractor(request)

    async with gateway_before(extractor=slow) as client:
        before = (await client.get("/v1/pipeline")).json()["admission"]["limit"]
        headers = {"content-type": "image/png", "x-request-timeout-ms": "10"}
        for _ in range(30):
            reply = await client.post("/v1/classify", content=picture(), headers=headers)
            assert reply.status_code == 504
        assert (await client.get("/v1/pipeline")).json()["admission"]["limit"] == before


async def test_a_stage_that_was_given_no_time_is_not_blamed_for_being_late(gateway_before: Gateway) -> None:
    async def late(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "time is up"}, status=504)

    async with gateway_before(extractor=late) as client:
        headers = {"content-type": "image/png", "x-request-timeout-ms": "500"}
        for _ in range(15):
            reply = await client.post("/v1/classify", content=picture(), headers=headers)
            assert reply.status_code == 504
        extractor = (await client.get("/v1/pipeline")).json()["stages"][0]
        assert extractor["replicas"][0]["breaker"] == "closed"
        assert extractor["replicas"][0]["attempts"] == {"deadline_exceeded": 15}


async def test_a_stage_that_did_not_get_the_whole_call_is_not_blamed(gateway_before: Gateway) -> None:
    """Its 408 may come of a pause of the gateway's own."""
    async with gateway_before(extractor=refusing(408)) as client:
        for _ in range(12):
            reply = await client.post("/v1/classify", content=b"picture", headers={"content-type": "image/jpeg"})
            assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (503, "unavailable", True)
        stages = (await client.get("/v1/pipeline")).json()["stages"]
    (extractor,) = [stage for stage in stages if stage["name"] == "feature_extractor"]
    assert extractor["replicas"][0]["breaker"] == "closed"
