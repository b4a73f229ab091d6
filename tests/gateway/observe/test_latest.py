"""The last requests: what became of them, and nothing of what was sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from splitway.errors import Unauthorized
from splitway.gateway.observe.latest import Latest
from splitway.schemas.message import read_answer
from splitway.schemas.requests import LatestRequests
from splitway.telemetry.watch import RequestEnded
from tests.gateway.conftest import Gateway, answer, classes
from tests.gateway.hop.test_stage_client import refusing
from tests.gateway.versioned import classify, extractors, heads, pipeline, release, write

TABLE = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["not-to-be-seen"]}]}


async def _latest(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    reply = await client.get("/v1/requests")
    read_answer(LatestRequests, reply.content)
    requests: list[dict[str, Any]] = reply.json()["requests"]
    return requests


async def test_a_request_is_shown_with_its_heads_and_its_time_line() -> None:
    tops = heads(classifier=("1",), digits=("1",))
    tops.instead["digits", "1"] = refusing(500)
    async with pipeline(extractors("1"), tops) as client:
        asked = await classify(client, "?heads=digits,classifier,not-to-be-seen&timeline=true", b"not-to-be-seen")
        (shown,) = await _latest(client)
    assert (shown["id"], shown["route"], shown["kind"]) == (asked.json()["id"], "/v1/classify", "image")
    assert (shown["outcome"], shown["problem"], shown["release"], shown["part"]) == ("ok", None, None, None)
    label = {"label": "classifier 1 of 1", "confidence": 0.5}
    assert shown["heads"] == [
        {"name": "classifier", "version": "1", **label, "code": None},
        {"name": "digits", "version": None, "label": None, "confidence": None, "code": "engine_failed"},
    ]
    assert shown["timeline"] == asked.json()["timeline"]
    assert set(shown["timings_ms"]) == {"total", "feature_extractor", "classifier"}
    assert shown["timings_ms"]["total"] >= sum(part["total"] for _, part in list(shown["timings_ms"].items())[1:])
    assert "not-to-be-seen" not in str(shown)


async def test_a_failure_is_shown_by_its_code_and_its_way(gateway_before: Gateway) -> None:
    async with gateway_before(classifier=refusing(503)) as client:
        await client.post("/v1/classify", content=b"x", headers={"content-type": "image/jpeg"})
        await client.post("/v1/classify?top_k=not-to-be-seen", content=b"x")
        await client.post("/v2/models/pipeline/infer", json=TABLE)
        table, refused, failed = await _latest(client)
    assert failed["problem"] == {
        "code": "unavailable",
        "title": "A stage cannot be reached or is not ready",
        "status": 503,
        "stage": "classifier",
        "retryable": True,
    }
    assert [(each["stage"], each["outcome"]) for each in failed["timeline"]] == [
        ("feature_extractor", "ok"),
        ("classifier", "unavailable"),
    ]
    assert len(failed["timeline"][1]["attempts"]) > 1
    assert (failed["heads"], set(failed["timings_ms"])) == ([], {"total"})
    assert (refused["outcome"], refused["timeline"]) == ("invalid_input", [])
    assert (table["route"], table["outcome"]) == ("/v2/models/pipeline/infer", "unavailable")
    assert "not-to-be-seen" not in str([table, refused, failed])


async def test_a_release_is_shown_with_its_part(tmp_path: Path) -> None:
    path = tmp_path / "releases.json"
    write(path, {"july": release("1")}, current="july")
    async with pipeline(extractors("1"), heads(classifier=("1",)), releases=str(path)) as client:
        await classify(client)
        (shown,) = await _latest(client)
    assert (shown["release"], shown["part"]) == ("july", "current")


async def test_twenty_are_kept_the_newest_first(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        for number in range(25):
            headers = {"content-type": "image/jpeg", "x-request-id": f"number-{number}"}
            await client.post("/v1/classify", content=b"picture", headers=headers)
        shown = await _latest(client)
    assert [each["id"] for each in shown] == [f"number-{number}" for number in range(24, 4, -1)]


async def test_long_labels_are_cut(gateway_before: Gateway) -> None:
    async def talkative(_: web.Request) -> web.StreamResponse:
        return answer("classifier", classes(b"0.75:1:" + b"so long " * 20))

    async with gateway_before(classifier=talkative) as client:
        await client.post("/v1/classify", content=b"picture", headers={"content-type": "image/jpeg"})
        (shown,) = await _latest(client)
    label = shown["heads"][0]["label"]
    assert (len(label), label[-3:]) == (80, "ng…")


def test_strangers_do_not_push_out_what_others_asked() -> None:
    latest = Latest()
    ended: Any = RequestEnded("/v1/classify", "ok", 0.1, "mine", "trace", 1, 1, None, None)
    latest.on_request(ended)
    for _ in range(30):
        latest.on_request(ended._replace(outcome="unauthorized", error=Unauthorized("no key")))
    assert [each["id"] for each in latest.describe("image")["requests"]] == ["mine"]
