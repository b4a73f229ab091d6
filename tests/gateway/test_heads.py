"""One extraction, any number of heads, and stages between."""

from __future__ import annotations

import random
import time
from typing import Any

import httpx
import pytest

from splitway.gateway.fleet.replicas import ReplicaSet, StageConfig
from splitway.gateway.fleet.router import Router, Want
from tests.gateway.conftest import CLASSES, Entry, extractor_entry, head_entry
from tests.gateway.hop.test_stage_client import refusing
from tests.gateway.versioned import Stage, bodies, body_space, classify, extractors, heads, pipeline, space

MASK = {"name": "mask", "datatype": "FP32", "shape": [-1, 4]}


def head_of(name: str, outputs: list[Entry]) -> Entry:
    return head_entry(name, "1", space("1"), outputs=outputs)


async def test_two_heads_answer_from_one_extraction() -> None:
    backbone, tops = extractors("1"), heads(classifier=("1",), digits=("1",))
    async with pipeline(backbone, tops) as client:
        reply = await classify(client, "?heads=classifier,digits")
        metrics = (await client.get("/metrics")).text
    content = reply.json()
    assert reply.status_code == 200
    assert backbone.calls == [("feature_extractor", "1")]
    assert set(content["heads"]) == {"classifier", "digits"}
    digits = content["heads"]["digits"]
    assert (digits["status"], digits["label"], digits["version"]) == (200, "digits 1 of 1", "1")
    assert digits["predictions"] == [{"label": "digits 1 of 1", "index": 1, "confidence": 0.5}]
    assert set(digits["timings_ms"]) == {"queue", "decode", "compute", "network", "total"}
    assert content["model"] == {"feature_extractor": "1", "feature_space": space("1")}
    assert set(content["timings_ms"]) == {"feature_extractor", "total"}
    assert content["id"] == reply.headers["x-request-id"]
    assert 'splitway_gateway_head_requests_total{head="digits",outcome="ok"} 1.0' in metrics


async def test_heads_that_fail_have_a_status_of_their_own() -> None:
    tops = heads(classifier=("1",), digits=("1",), foreign=("2",))
    tops.instead["digits", "1"] = refusing(500)
    async with pipeline(extractors("1"), tops) as client:
        reply = await classify(client, "?heads=digits,classifier,foreign,nosuch")
        metrics = (await client.get("/metrics")).text
    entries = reply.json()["heads"]
    assert reply.status_code == 207
    assert {name: entry["status"] for name, entry in entries.items()} == {
        "digits": 502,
        "classifier": 200,
        "foreign": 409,
        "nosuch": 404,
    }
    problem = entries["digits"]["error"]
    assert (problem["status"], problem["code"], problem["stage"]) == (502, "engine_failed", "digits")
    assert problem["id"] == reply.json()["id"]
    assert "nosuch" not in metrics


async def test_where_every_head_fails_the_first_ones_problem_is_the_answer() -> None:
    tops = heads(classifier=("1",), digits=("1",))
    tops.instead = {("digits", "1"): refusing(500), ("classifier", "1"): refusing(503)}
    async with pipeline(extractors("1"), tops) as client:
        reply = await classify(client, "?heads=digits,classifier")
    assert (reply.status_code, reply.json()["stage"]) == (502, "digits")
    assert reply.headers["content-type"] == "application/problem+json"


async def test_an_unknown_head_alone_is_a_404() -> None:
    async with pipeline(extractors("1"), heads(classifier=("1",), digits=("1",))) as client:
        reply = await classify(client, "?heads=nosuch")
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    assert "classifier, digits" in reply.json()["detail"]


async def test_a_star_is_every_head_that_is_ready_and_gives_classes() -> None:
    tops = heads(classifier=("1",), digits=("1",), foreign=("2",))
    tops.said.append(head_of("segments", [MASK]))
    async with pipeline(extractors("1"), tops) as client:
        reply = await classify(client, "?heads=*")
    assert reply.status_code == 200
    assert set(reply.json()["heads"]) == {"classifier", "digits"}


@pytest.mark.parametrize("query", ["", "a,,b", "a,a", "*,a", ",".join(f"h{n}" for n in range(17))])
async def test_what_is_no_list_of_heads_is_a_400(query: str) -> None:
    async with pipeline(extractors("1"), heads(classifier=("1",))) as client:
        reply = await classify(client, f"?heads={query}")
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_input")


async def test_without_heads_the_only_one_answers_and_of_several_the_classifier() -> None:
    async with pipeline(extractors("1"), heads(digits=("1",))) as client:
        only = (await classify(client)).json()
    async with pipeline(extractors("1"), heads(digits=("1",), classifier=("1",))) as client:
        usual = (await classify(client)).json()
    async with pipeline(extractors("1"), heads(digits=("1",), letters=("1",))) as client:
        neither = await classify(client)
    assert (only["label"], usual["label"]) == ("digits 1 of 1", "classifier 1 of 1")
    assert only["model"] == {"feature_extractor": "1", "digits": "1", "feature_space": space("1")}
    assert neither.status_code == 400
    assert "digits, letters" in neither.json()["detail"]


async def test_a_head_without_classes_is_refused_with_the_way_to_ask_it() -> None:
    tops = Stage("classifier", [head_of("segments", [MASK]), head_of("classifier", [CLASSES])])
    async with pipeline(extractors("1"), tops) as client:
        both = await classify(client, "?heads=segments,classifier")
        alone = await classify(client, "?heads=segments")
    assert (both.status_code, both.json()["heads"]["segments"]["status"]) == (207, 400)
    assert alone.status_code == 400
    assert "/v2/models/pipeline/infer" in alone.json()["detail"]
    assert "mask FP32" in alone.json()["detail"]


async def test_features_go_through_the_bodies_in_order() -> None:
    tops = Stage("classifier", [head_entry("classifier", "1", body_space("2"))])
    async with pipeline(extractors("1", "2"), bodies("body_1", "2", "3"), tops) as client:
        reply = await classify(client)
        shown = (await client.get("/v1/pipeline")).json()
    content = reply.json()
    assert content["label"] == "classifier 1 of 202", "extractor 2, then body 2: the only way to this head"
    assert content["model"] == {
        "feature_extractor": "2",
        "body_1": "2",
        "classifier": "1",
        "feature_space": body_space("2"),
    }
    assert [stage["name"] for stage in shown["stages"]] == ["feature_extractor", "body_1", "classifier"]
    assert [head["name"] for head in shown["heads"] if head["ready"]] == ["classifier"]


async def test_a_chain_that_does_not_meet_is_not_ready_and_says_so() -> None:
    tops = Stage("classifier", [head_entry("classifier", "1", space("2"))])
    async with pipeline(extractors("2"), bodies("body_1", "2"), tops) as client:
        ready = await client.get("/readyz")
        reply = await classify(client)
    assert (ready.status_code, reply.status_code) == (503, 409)
    assert space("2") in reply.json()["detail"]
    assert "different feature spaces" in ready.json()["reason"]


TABLE = [{"name": "age", "datatype": "FP32", "shape": [-1, 1]}, {"name": "job", "datatype": "INT32", "shape": [-1]}]


async def _infer(client: httpx.AsyncClient, tensors: list[Any], **more: Any) -> httpx.Response:
    return await client.post("/v2/models/pipeline/infer", json={"inputs": tensors, **more})


async def test_the_pipeline_takes_what_the_extractor_takes_and_gives_what_the_head_gives() -> None:
    backbone = Stage("feature_extractor", [extractor_entry("1", space("1"), inputs=TABLE)])
    tops = Stage("classifier", [head_of("classifier", [CLASSES]), head_of("price", [MASK])])
    age = {"name": "age", "datatype": "FP32", "shape": [2, 1], "data": [30, 40]}
    job = {"name": "job", "datatype": "INT32", "shape": [2], "data": [1, 2]}
    async with pipeline(backbone, tops) as client:
        metadata = (await client.get("/v2/models/pipeline")).json()
        half = await _infer(client, [age])
        uneven = await _infer(client, [age, {**job, "shape": [1], "data": [1]}])
        unknown = await _infer(client, [age, job], parameters={"head": "nosuch"})
        foreign = await _infer(client, [age, job], parameters={"head": "price"}, outputs=[{"name": "probabilities"}])
        picture = await classify(client)
    assert metadata["inputs"] == TABLE
    assert metadata["outputs"] == [CLASSES]
    assert metadata["parameters"] == {"heads": "classifier,price", "head": "classifier"}
    assert [half.status_code, uneven.status_code, unknown.status_code, foreign.status_code] == [400, 400, 404, 400]
    assert "job INT32 [-1]" in half.json()["error"]
    assert picture.status_code == 400
    assert "age FP32 [-1, 1]" in picture.json()["detail"]
    assert "/v2/models/pipeline/infer" in picture.json()["detail"]


async def test_a_parameter_chooses_the_head() -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["picture"]}
    tops = heads(classifier=("1",), digits=("1",))
    async with pipeline(extractors("1"), tops) as client:
        replies = [await _infer(client, [image], parameters={"head": head}) for head in ("digits", "classifier")]
    assert [reply.json()["outputs"][0]["data"] for reply in replies] == [
        ["0.5:1:digits 1 of 1"],
        ["0.5:1:classifier 1 of 1"],
    ]
    assert tops.calls == [("digits", "1"), ("classifier", "1")]


async def test_a_head_that_always_refuses_costs_no_second_extraction_and_no_answer_of_another() -> None:
    extractor, head = extractors("1"), heads(classifier=("1",), digits=("1",))
    head.instead["digits", "1"] = refusing(409)
    async with pipeline(extractor, head) as client:
        replies = [await classify(client, "?heads=classifier,digits") for _ in range(5)]
    assert [reply.status_code for reply in replies] == [207] * 5
    assert len(extractor.calls) == 5


async def test_names_that_callers_make_up_are_not_remembered() -> None:
    nowhere = StageConfig("feature_extractor", "extractor", ())
    router = Router([ReplicaSet(nowhere, time.monotonic, random.random)] * 2)
    for number in range(100):
        name = f"made_up_{number}"
        want = Want(frozenset({name}))
        assert not router.target(0, None, want)
        assert not router.target(1, space("1"), want)
        assert router.served_head(name, None) is None
    assert len(router._memo) < 10


async def test_the_head_that_can_be_reached_says_what_the_pipeline_gives() -> None:
    """While a head is upgraded first, its new version, of another space and other outputs, says nothing yet."""
    old = head_entry("classifier", "1", space("1"), is_default=False, state="retiring")
    new = head_entry("classifier", "2", space("2"), outputs=[MASK])
    async with pipeline(extractors("1"), Stage("classifier", [old, new])) as client:
        reply = await classify(client)
    assert (reply.status_code, reply.json()["model"]["classifier"]) == (200, "1")
