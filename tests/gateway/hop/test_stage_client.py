"""Whatever a stage does, the caller gets one clear answer."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from aiohttp import web

from splitway.errors import DeadlineExceeded
from splitway.gateway.transport.transport import Transport
from splitway.wire.tensor import Tensor
from tests.gateway.conftest import SPACE, Gateway, Handler, answer, classes, features, good_classifier

JPEG = {"content-type": "image/jpeg"}


async def classify(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post("/v1/classify", content=b"picture", headers={**JPEG, **headers})


def refusing(status: int, body: str = '{"error": "the stage says no"}', **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, content_type="application/json", headers=headers)

    return handler


async def _hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError("nobody waits this long")


async def _breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


async def _closes(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def _half_a_tensor(_: web.Request) -> web.StreamResponse:
    whole = answer("feature_extractor", features())
    assert isinstance(whole.body, bytes)
    return web.Response(body=whole.body[:-3], headers=whole.headers)


def _answers(*tensors: Tensor, feature_space: str | None = SPACE) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return answer("stage", *tensors, feature_space=feature_space)

    return handler


TROUBLE: dict[str, tuple[Handler, int, str]] = {
    "400": (refusing(400), 400, "invalid_input"),
    "408": (refusing(408), 503, "unavailable"),
    "408 of a proxy": (refusing(408, "<html>"), 503, "unavailable"),
    "409": (refusing(409), 409, "feature_space_mismatch"),
    "413": (refusing(413), 413, "too_large"),
    "415": (refusing(415), 415, "unsupported_media_type"),
    "503": (refusing(503), 503, "unavailable"),
    "504": (refusing(504), 504, "deadline_exceeded"),
    "404": (refusing(404), 503, "unavailable"),
    "500": (refusing(500), 502, "engine_failed"),
    "302": (refusing(302, location="http://127.0.0.1:1/"), 502, "bad_stage_answer"),
    "400 without a message": (refusing(400, "<html>"), 502, "bad_stage_answer"),
    "garbage": (refusing(200, "garbage"), 502, "bad_stage_answer"),
    "half a tensor": (_half_a_tensor, 502, "bad_stage_answer"),
    "reply broken off": (_breaks_off, 502, "bad_stage_answer"),
    "connection closed": (_closes, 503, "unavailable"),
    "two rows for one": (_answers(features(2)), 502, "bad_stage_answer"),
    "no tensors": (_answers(), 502, "bad_stage_answer"),
    "no feature space": (_answers(features(), feature_space=None), 502, "bad_stage_answer"),
}


@pytest.mark.parametrize(("handler", "status", "code"), TROUBLE.values(), ids=TROUBLE.keys())
async def test_trouble_with_the_extractor(gateway_before: Gateway, handler: Handler, status: int, code: str) -> None:
    async with gateway_before(extractor=handler) as client:
        reply = await classify(client)
    problem = reply.json()
    assert (reply.status_code, problem["code"], problem["stage"]) == (status, code, "feature_extractor")
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem["id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize("status", [400, 413, 415])
async def test_a_later_stage_that_refuses_what_the_first_gave_is_not_the_callers_fault(
    gateway_before: Gateway, status: int
) -> None:
    async with gateway_before(classifier=refusing(status)) as client:
        problem = (await classify(client)).json()
    assert (problem["status"], problem["code"], problem["stage"]) == (502, "bad_stage_answer", "classifier")


@pytest.mark.parametrize("trouble", ["400", "409", "413", "415"])
async def test_what_the_caller_can_mend_is_said_in_the_stages_words(gateway_before: Gateway, trouble: str) -> None:
    async with gateway_before(extractor=TROUBLE[trouble][0]) as client:
        assert (await classify(client)).json()["detail"] == "the stage says no"


@pytest.mark.parametrize("trouble", ["404", "408", "500", "503", "504", "302"])
async def test_what_the_stage_says_of_its_own_trouble_is_for_the_log(
    gateway_before: Gateway, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "splitway"):
        async with gateway_before(extractor=TROUBLE[trouble][0]) as client:
            detail = (await classify(client)).json()["detail"]
    assert detail.startswith(("feature_extractor ", "no replica of feature_extractor "))
    assert "the stage says no" not in detail
    if trouble in ("408", "500", "503", "504", "302"):  # of a 404, the last word is that nobody is left to ask
        (line,) = (record for record in caplog.records if record.name == "splitway.request")
        assert vars(line)["detail"] == f"{detail} (the stage says no)"


@pytest.mark.parametrize(
    "given",
    [(), (b"nan:1:dog",), (b"1.5:1:dog",), (b"0.5:1:dog", b"0.5:1:dog")],
    ids=["none", "nan", "1.5", "too many"],
)
async def test_classes_that_make_no_sense(gateway_before: Gateway, given: tuple[bytes, ...]) -> None:
    async with gateway_before(classifier=_answers(classes(*given))) as client:
        reply = await client.post("/v1/classify?top_k=1", content=b"picture", headers=JPEG)
    assert (reply.status_code, reply.json()["code"]) == (502, "bad_stage_answer")


async def test_time_that_is_up_never_means_no_limit() -> None:
    transport = Transport(1000)
    for timeout_s in (0.0, -1.0):
        with pytest.raises(DeadlineExceeded):
            await transport.call("stage", "GET", "http://127.0.0.1:1/", timeout_s=timeout_s, headers={})
    transport.close()


@pytest.mark.parametrize("element", [b"", b"x:1:dog", b"0.5:dog", b"0.5:x:dog", b"\xff\xff"], ids=repr)
async def test_classes_that_cannot_be_read(gateway_before: Gateway, element: bytes) -> None:
    async with gateway_before(classifier=_answers(classes(element))) as client:
        problem = (await classify(client)).json()
    assert (problem["status"], problem["stage"]) == (502, "classifier")


async def test_a_stage_that_hangs_is_left_when_the_time_is_up(gateway_before: Gateway) -> None:
    async with gateway_before(classifier=_hangs) as client:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        reply = await classify(client, **{"x-request-timeout-ms": "200"})
        took_s = loop.time() - started_s
    assert (reply.status_code, reply.json()["code"]) == (504, "deadline_exceeded")
    assert took_s < 5


async def test_a_reply_over_the_limit_is_cut_off(gateway_before: Gateway) -> None:
    async with gateway_before(extractor=refusing(200, "x" * 10_000), max_reply_bytes=5_000) as client:
        reply = await classify(client)
    assert (reply.status_code, reply.json()["code"]) == (502, "bad_stage_answer")


async def test_retry_after_is_handed_on(gateway_before: Gateway) -> None:
    async with gateway_before(extractor=refusing(503, **{"retry-after": "7"})) as client:
        assert (await classify(client)).headers["retry-after"] == "7"


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_what_travels_beside_the_request(gateway_before: Gateway) -> None:
    seen: list[dict[str, str]] = []

    async def classifier(request: web.Request) -> web.StreamResponse:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return await good_classifier(request)

    async with gateway_before(classifier=classifier) as client:
        headers = {"traceparent": TRACE, "x-request-id": "mine", "authorization": "secret", "cookie": "a=b"}
        reply = await classify(client, **headers, **{"x-request-timeout-ms": "5000"})
    assert reply.json()["id"] == reply.headers["x-request-id"] == "mine"
    assert seen[0]["traceparent"] == TRACE
    assert seen[0]["x-request-id"] == "mine"
    assert 0 < int(seen[0]["x-request-timeout-ms"]) <= 5000
    assert not {"authorization", "cookie"} & set(seen[0])


@pytest.mark.parametrize("given", [None, "x" * 3000, "mine"], ids=["none", "unusable", "usable"])
async def test_the_protocols_routes_hand_on_the_answers_id(gateway_before: Gateway, given: str | None) -> None:
    seen: list[str | None] = []

    async def classifier(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("x-request-id"))
        return await good_classifier(request)

    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["picture"]}
    async with gateway_before(classifier=classifier) as client:
        headers = {"x-request-id": given} if given else {}
        reply = await client.post("/v2/models/pipeline/infer", json={"inputs": [tensor]}, headers=headers)
    assert reply.status_code == 200
    assert seen == [reply.headers["x-request-id"]]


async def test_features_travel_on_with_their_space_and_unchanged(gateway_before: Gateway) -> None:
    seen: list[bytes] = []

    async def classifier(request: web.Request) -> web.StreamResponse:
        seen.append(await request.read())
        return await good_classifier(request)

    async with gateway_before(classifier=classifier) as client:
        await classify(client)
    tensor = features()
    assert seen[0].endswith(tensor.array.tobytes())
    header = json.loads(seen[0][: -tensor.array.nbytes])
    assert header["inputs"][0]["parameters"]["feature_space"] == "fs:0123456789abcdef"
