"""Where one request's time went, for who asks: stages, and each of their attempts beside the others."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tests.gateway.conftest import Gateway, good_classifier, good_extractor, head_entry
from tests.gateway.hop.test_stage_client import TROUBLE, classify
from tests.gateway.test_two_replicas import gateway
from tests.gateway.versioned import Stage, bodies, body_space, extractors, pipeline
from tests.gateway.versioned import classify as classify_at

JPEG = {"content-type": "image/jpeg"}
ASKED = "/v1/classify?timeline=true"


async def test_an_answer_says_when_each_stage_had_its_turn(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        reply = (await client.post(ASKED, content=b"picture", headers=JPEG)).json()
    first, second = reply["timeline"]
    assert [(hop["stage"], hop["outcome"]) for hop in (first, second)] == [
        ("feature_extractor", "ok"),
        ("classifier", "ok"),
    ]
    assert 0 <= first["start_ms"] < first["start_ms"] + first["ms"] <= second["start_ms"]
    assert second["start_ms"] + second["ms"] <= reply["timings_ms"]["total"]
    (attempt,) = second["attempts"]
    assert (attempt["number"], attempt["replica"]) == (1, 1)
    assert second["start_ms"] <= attempt["start_ms"]
    assert attempt["ms"] <= second["ms"]


async def test_each_head_has_an_entry_and_says_what_it_takes() -> None:
    between = bodies("body_1", "1")
    tops = [head_entry(name, "1", body_space("1")) for name in ("classifier", "digits")]
    async with pipeline(extractors("1"), between, Stage("classifier", tops)) as client:
        reply = (await classify_at(client, "?heads=digits,classifier&timeline=true")).json()
    extractor, body, *heads = reply["timeline"]
    assert [(entry["head"], entry["takes"], entry["cache"]) for entry in (extractor, body)] == [
        (None, [], None),
        (None, ["feature_extractor"], None),
    ]
    assert {(entry["stage"], entry["head"], *entry["takes"]) for entry in heads} == {
        ("digits", "digits", "body_1"),
        ("classifier", "classifier", "body_1"),
    }
    assert [len(entry["attempts"]) for entry in heads] == [1, 1]


async def test_features_that_were_kept_stand_where_the_extraction_would(gateway_before: Gateway) -> None:
    async with gateway_before(cache="memory") as client:
        first, second = [(await client.post(ASKED, content=b"picture", headers=JPEG)).json() for _ in range(2)]
    assert [(hop["stage"], hop["cache"], len(hop["attempts"])) for hop in (first["timeline"] + second["timeline"])] == [
        ("feature_extractor", None, 1),
        ("classifier", None, 1),
        ("feature_extractor", "hit", 0),
        ("classifier", None, 1),
    ]


async def test_nobody_gets_one_who_does_not_ask(gateway_before: Gateway) -> None:
    async with gateway_before(classifier=TROUBLE["500"][0]) as client:
        assert "timeline" not in (await classify(client)).json()
        reply = await client.post("/v1/classify?timeline=false", content=b"picture", headers=JPEG)
        wrong = await client.post("/v1/classify?timeline=yes", content=b"picture", headers=JPEG)
    assert "timeline" not in reply.json()
    assert wrong.status_code == 400
    assert "timeline must be true or false" in wrong.json()["detail"]


async def test_a_problem_says_how_far_it_came(gateway_before: Gateway) -> None:
    async with gateway_before(classifier=TROUBLE["500"][0]) as client:
        reply = await client.post(ASKED, content=b"picture", headers=JPEG)
    assert reply.status_code == 502
    assert [(hop["stage"], hop["outcome"]) for hop in reply.json()["timeline"]] == [
        ("feature_extractor", "ok"),
        ("classifier", "engine_failed"),
    ]


async def test_retries_stand_beside_the_attempt_that_failed() -> None:
    async with gateway([good_extractor], [TROUBLE["503"][0], good_classifier]) as client:
        replies = [(await client.post(ASKED, content=b"picture", headers=JPEG)).json() for _ in range(8)]
    attempts = [reply["timeline"][1]["attempts"] for reply in replies]
    retried = next(several for several in attempts if len(several) > 1)
    assert [(each["number"], each["outcome"]) for each in retried] == [(1, "unavailable"), (2, "ok")]
    assert retried[0]["replica"] != retried[1]["replica"]
    assert retried[0]["start_ms"] + retried[0]["ms"] <= retried[1]["start_ms"]


async def test_a_hedge_stands_beside_the_attempt_that_took_long() -> None:
    stalls = False

    async def moody(request: web.Request) -> web.StreamResponse:
        nonlocal stalls
        if stalls:
            stalls = False
            await asyncio.sleep(5)
        return await good_classifier(request)

    async with gateway([good_extractor], [moody, moody], hedge={"classifier": 0.9}) as client:
        for _ in range(110):  # what is usual has to be learned first
            await client.post("/v1/classify", content=b"picture", headers=JPEG)
        stalls = True
        reply = (await client.post(ASKED, content=b"picture", headers=JPEG)).json()
    slow, hedge = reply["timeline"][1]["attempts"]
    assert (slow["outcome"], slow["is_hedge"]) == ("cancelled", False)
    assert (hedge["outcome"], hedge["is_hedge"]) == ("ok", True)
    assert slow["start_ms"] < hedge["start_ms"] < slow["start_ms"] + slow["ms"]
