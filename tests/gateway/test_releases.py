"""Releases in service: named, current, canary and shadow, and trials that end by themselves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from splitway.names import UNFIT_ROW_HEADER
from tests.gateway.conftest import answer, classes
from tests.gateway.hop.test_stage_client import refusing
from tests.gateway.versioned import Stage, classify, extractors, heads, pipeline, release, space, trial, write

BOTH = {"one": release("1"), "two": release("2")}
ALL = {"background_runs": 100, "compare_share": 1.0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "releases.json"


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def spoil(path: Path) -> None:
    path.write_text("{")


def stages() -> tuple[Stage, Stage]:
    return extractors("1", "2"), heads(classifier=("1", "2"))


async def shown(client: httpx.AsyncClient) -> Any:
    return (await client.get("/v1/pipeline")).json()["releases"]


async def until(client: httpx.AsyncClient, holds: Callable[[Any], bool]) -> Any:
    """Wait for what the gateway shows of its releases."""
    for _ in range(200):
        found = await shown(client)
        if holds(found):
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def other_class(_: web.Request) -> web.StreamResponse:
    return answer("classifier", classes(b"0.9:7:other"), feature_space=None, version="2")


async def test_every_request_is_of_one_release_and_says_of_which(path: Path) -> None:
    write(path, BOTH, current="one")
    async with pipeline(*stages(), releases=str(path)) as client:
        current = await classify(client)
        named = await classify(client, x_splitway_release="two")
        unknown = await classify(client, x_splitway_release="three")
        foreign = await classify(client, "?heads=digits")
        image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["picture"]}
        v2 = await client.post("/v2/models/pipeline/infer", json={"inputs": [image]})
    assert current.json()["label"] == "classifier 1 of 1"
    assert current.headers["x-splitway-release"] == v2.headers["x-splitway-release"] == "one"
    assert v2.json()["parameters"] == {"feature_space": space("1"), "release": "one"}
    assert current.json()["model"] == {
        "feature_extractor": "1",
        "classifier": "1",
        "feature_space": space("1"),
        "release": "one",
    }
    assert (named.json()["label"], named.json()["model"]["release"]) == ("classifier 2 of 2", "two")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "invalid_input")
    assert "one, two" in unknown.json()["detail"]
    assert (foreign.status_code, "'one'" in foreign.json()["detail"]) == (404, True)


async def test_a_head_that_is_there_and_not_in_the_release_is_told_from_one_that_is_not_there(path: Path) -> None:
    write(path, {"one": release("1")}, current="one")
    async with pipeline(extractors("1"), heads(classifier=("1",), digits=("1",)), releases=str(path)) as client:
        there, absent = [(await classify(client, f"?heads={name}")).json() for name in ("digits", "dogs")]
    assert (there["status"], absent["status"]) == (404, 404)
    says = "head 'digits' is loaded, but it is not in release 'one', only classifier: a new release has to name it"
    assert there["detail"] == says
    assert absent["detail"] == "there is no head 'dogs' in release 'one', only classifier"


async def test_without_releases_nothing_is_said_of_one() -> None:
    async with pipeline(*stages()) as client:
        reply = await classify(client)
        named = await classify(client, x_splitway_release="one")
    assert "x-splitway-release" not in reply.headers
    assert "release" not in reply.json()["model"]
    assert named.status_code == 400


async def test_a_release_that_nobody_serves_is_a_503_for_who_names_it_and_no_canary(path: Path) -> None:
    write(path, {**BOTH, "nine": release("9")}, current="one", canary=trial("nine"))
    async with pipeline(*stages(), releases=str(path)) as client:
        named = await classify(client, x_splitway_release="nine")
        others = [await classify(client) for _ in range(5)]
        forced = await classify(client, x_splitway_canary="always")
        assert (await shown(client))["releases"]["nine"]["served"] is False
    assert (named.status_code, named.json()["code"]) == (503, "unavailable")
    assert "'nine' cannot be served" in named.json()["detail"]
    assert {reply.json()["model"]["release"] for reply in (*others, forced)} == {"one"}


async def test_a_version_that_was_made_anew_for_another_space_is_not_the_release(path: Path) -> None:
    write(path, {"one": {**release("1"), "feature_space": space("7")}}, current="one")
    async with pipeline(*stages(), releases=str(path)) as client:
        reply, ready = await classify(client), await client.get("/readyz")
    assert (reply.status_code, ready.status_code) == (503, 503)
    assert "none of release 'one'" in ready.json()["reason"]


async def test_a_canary_gets_its_share_and_a_key_always_the_same_side(path: Path) -> None:
    write(path, BOTH, current="one", canary=trial("two", 30.0))
    async with pipeline(*stages(), releases=str(path)) as client:
        sides = {
            key: {(await classify(client, x_splitway_key=key)).headers["x-splitway-release"] for _ in range(3)}
            for key in map(str, range(60))
        }
        always = await classify(client, x_splitway_canary="always", x_splitway_key="0")
        never = await classify(client, x_splitway_canary="never", x_splitway_key="0")
        wrong = await classify(client, x_splitway_canary="perhaps")
        loose = Counter([(await classify(client)).headers["x-splitway-release"] for _ in range(60)])
    assert {len(side) for side in sides.values()} == {1}
    assert {"one", "two"} == set().union(*sides.values()) == set(loose)
    assert (always.headers["x-splitway-release"], never.headers["x-splitway-release"]) == ("two", "one")
    assert wrong.status_code == 400


async def test_the_file_is_followed_and_a_broken_one_changes_nothing(path: Path) -> None:
    write(path, BOTH, current="one")
    async with pipeline(*stages(), releases=str(path)) as client:
        write(path, BOTH, current="two", previous="one")
        await until(client, lambda found: found["current"] == "two")
        spoil(path)
        found = await until(client, lambda found: found["problem"] is not None)
        reply = await classify(client)
    assert (found["current"], reply.headers["x-splitway-release"]) == ("two", "two")
    assert "is not a file of releases" in found["problem"]


async def test_a_shadow_is_compared_and_its_failures_are_seen_by_nobody(path: Path) -> None:
    backbone, tops = stages()
    tops.instead["classifier", "2"] = refusing(500)
    write(path, BOTH, current="one", shadow=trial("two"))
    async with pipeline(backbone, tops, releases=str(path), rollback_min_requests=1000, **ALL) as client:
        before = (await client.get("/v1/pipeline")).json()["stages"]
        replies = [await classify(client) for _ in range(30)]
        failing = await until(client, lambda found: found["background"].get("failed") == 30)
        stage = (await client.get("/v1/pipeline")).json()["stages"][1]
        tops.instead.clear()
        replies += [await classify(client) for _ in range(10)]
        found = await until(client, lambda found: found["background"].get("ok") == 10)
        metrics = (await client.get("/metrics")).text
    assert {(reply.status_code, reply.headers["x-splitway-release"]) for reply in replies} == {(200, "one")}
    assert failing["releases"]["two"]["error_share"] == 1
    parts = {name: (release["part"], release["share"]) for name, release in failing["releases"].items()}
    assert parts == {"one": ("current", 100), "two": ("shadow", 100)}
    assert stage["replicas"][0]["breaker"] == "closed"
    assert stage["retry_budget"] == before[1]["retry_budget"] == 10
    assert (found["releases"]["two"]["compared"], found["releases"]["two"]["drift"]) == (10, 0)
    assert found["releases"]["two"]["agreement"] == 0, "its label has another index"
    assert 'splitway_gateway_release_error_share{release="two"} 0.75' in metrics
    assert 'splitway_gateway_release_share{part="shadow",release="two"} 100.0' in metrics


async def test_a_shadow_that_hangs_delays_nobody_and_is_bounded(path: Path) -> None:
    async def hangs(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise AssertionError("nobody waits this long")

    backbone, tops = stages()
    tops.instead["classifier", "2"] = hangs
    write(path, BOTH, current="one", shadow=trial("two"))
    async with pipeline(backbone, tops, releases=str(path), background_runs=2) as client:
        async with asyncio.timeout(5):
            replies = [await classify(client) for _ in range(20)]
        found = await shown(client)
    assert {reply.status_code for reply in replies} == {200}
    assert (found["background"]["running"], found["background"]["dropped"]) == (2, 18)


def _same_index(version: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(_: web.Request) -> web.StreamResponse:
        return answer("classifier", classes(b"0.5:1:same"), feature_space=None, version=version)

    return handle


async def test_a_canary_that_fails_is_rolled_back_and_written_down(path: Path) -> None:
    backbone, tops = stages()
    tops.instead["classifier", "2"] = refusing(500)
    write(path, BOTH, current="one", canary=trial("two", 50.0))
    async with pipeline(backbone, tops, releases=str(path)) as client:
        replies = [await classify(client) for _ in range(120)]
        found = await until(client, lambda _: content(path)["canary"] is None)
        later = [await classify(client, x_splitway_canary="always") for _ in range(5)]
        stage = (await client.get("/v1/pipeline")).json()["stages"][1]
    assert {(r.status_code, r.headers["x-splitway-release"]) for r in replies} == {(200, "one")}, "nobody is failed"
    assert {reply.status_code for reply in later} == {200}
    assert stage["replicas"][0]["breaker"] == "closed", "the version was at fault, not the replica"
    (event,) = content(path)["history"]
    assert (event["event"], event["release"]) == ("rollback", "two")
    assert "100% of its 20 requests failed" in event["reason"]
    assert found["current"] == "one"


async def test_a_canary_that_disagrees_is_rolled_back(path: Path) -> None:
    backbone, tops = stages()
    tops.instead["classifier", "2"] = other_class
    write(path, BOTH, current="one", canary=trial("two", 50.0))
    async with pipeline(backbone, tops, releases=str(path), **ALL) as client:
        replies = [await classify(client) for _ in range(100)]
        await until(client, lambda _: content(path)["canary"] is None)
    assert {reply.status_code for reply in replies} == {200}
    assert "in 100% of 2" in content(path)["history"][0]["reason"]


async def test_a_canary_that_agrees_goes_on(path: Path) -> None:
    backbone, tops = stages()
    tops.instead = {("classifier", version): _same_index(version) for version in "12"}
    write(path, BOTH, current="one", canary=trial("two", 50.0))
    async with pipeline(backbone, tops, releases=str(path), **ALL) as client:
        for _ in range(100):
            await classify(client)
        found = await until(client, lambda found: found["background"]["running"] == 0)
    assert found["canary"]["release"] == "two"
    assert found["releases"]["two"]["agreement"] == 1
    assert found["releases"]["two"]["compared"] > 20


async def test_a_shadow_that_disagrees_is_stopped(path: Path) -> None:
    backbone, tops = stages()
    write(path, BOTH, current="one", shadow=trial("two"))
    async with pipeline(backbone, tops, releases=str(path), **ALL) as client:
        for _ in range(30):
            await classify(client)
        await until(client, lambda _: content(path)["shadow"] is None)
    assert content(path)["history"][0]["event"] == "rollback"


async def test_a_rollback_that_cannot_be_written_holds_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    backbone, tops = stages()
    tops.instead["classifier", "2"] = refusing(500)
    write(path, BOTH, current="one", canary=trial("two"))
    async with pipeline(backbone, tops, releases=str(path)) as client:
        monkeypatch.setattr(Path, "replace", full)
        replies = [await classify(client) for _ in range(30)]
        found = await until(client, lambda found: found["problem"] is not None)
    assert [reply.status_code for reply in replies] == [200] * 30
    assert "rolled back in this gateway's memory alone" in found["problem"]
    assert "No space left" in found["problem"]
    assert "two" in found["rolled_back"]
    assert found["canary"] is None


async def test_features_are_kept_by_the_releases_space_and_not_while_nobody_says_which(path: Path) -> None:
    write(path, BOTH, current="one")
    mixed = (extractors("1"), extractors("2"), heads(classifier=("1", "2")))
    async with pipeline(*mixed, releases=str(path), cache="memory") as client:
        held = [(await classify(client)).headers["cache-status"] for _ in range(2)]
        other = await classify(client, x_splitway_release="two")
    async with pipeline(*mixed, cache="memory") as client:
        free = await classify(client)
    assert held == ["splitway; fwd=uri-miss; stored", "splitway; hit"]
    assert (other.headers["cache-status"], other.json()["label"]) == (
        "splitway; fwd=uri-miss; stored",
        "classifier 2 of 2",
    )
    assert free.headers["cache-status"] == "splitway; fwd=bypass"


async def test_a_promoted_release_takes_over_when_it_can_be_served(path: Path) -> None:
    backbone, tops = extractors("1"), heads(classifier=("1",))
    write(path, BOTH, current="one")
    async with pipeline(backbone, tops, releases=str(path)) as client:
        write(path, BOTH, current="two", previous="one")
        found = await until(client, lambda found: found["pending"] == "two")
        waiting = [await classify(client) for _ in range(10)]
        backbone.said.extend(extractors("2").said)
        tops.said.extend(heads(classifier=("2",)).said)
        await until(client, lambda found: found["current"] == "two" and found["pending"] is None)
        later = await classify(client)
    assert found["current"] == "one"
    assert {(r.status_code, r.headers["x-splitway-release"]) for r in waiting} == {(200, "one")}
    assert (later.status_code, later.json()["label"]) == (200, "classifier 2 of 2")


async def test_callers_who_name_a_release_open_no_breaker_and_end_no_canary(path: Path) -> None:
    backbone, tops = stages()
    tops.instead["classifier", "2"] = refusing(500)
    write(path, BOTH, current="one", canary=trial("two", 0.001))
    async with pipeline(backbone, tops, releases=str(path), retry_share=0) as client:
        named = [await classify(client, x_splitway_release="two") for _ in range(25)]
        forced = [await classify(client, x_splitway_canary="always") for _ in range(25)]
        usual = [await classify(client) for _ in range(5)]
        state = (await client.get("/v1/pipeline")).json()
    assert {reply.status_code for reply in (*named, *forced)} == {502}, "they asked for it"
    assert {reply.status_code for reply in usual} == {200}
    stage = state["stages"][1]
    assert (stage["replicas"][0]["breaker"], stage["retry_budget"]) == ("closed", 10)
    assert state["releases"]["canary"] is not None


async def test_slow_answers_of_a_trial_leave_the_replicas_record_alone(path: Path) -> None:
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return answer("classifier", classes(b"0.5:1:slow"), feature_space=None, version="2")

    backbone, tops = stages()
    tops.instead["classifier", "2"] = slow
    write(path, BOTH, current="one")
    async with pipeline(backbone, tops, releases=str(path)) as client:
        replies = [await classify(client), await classify(client, x_splitway_release="two")]
        replica = (await client.get("/v1/pipeline")).json()["stages"][1]["replicas"][0]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert replica["latency_ms"] < 300


@pytest.mark.parametrize(("stage", "status"), [("classifier", 409), ("feature_extractor", 400)])
async def test_refusals_of_a_canary_that_the_current_release_answers_end_it(
    path: Path, stage: str, status: int
) -> None:
    backbone, tops = stages()
    (backbone if stage == "feature_extractor" else tops).instead[stage, "2"] = refusing(status)
    write(path, BOTH, current="one", canary=trial("two"))
    async with pipeline(backbone, tops, releases=str(path)) as client:
        replies = [await classify(client) for _ in range(25)]
        await until(client, lambda _: content(path)["canary"] is None)
    assert {(reply.status_code, reply.headers["x-splitway-release"]) for reply in replies} == {(200, "one")}


async def test_a_shadow_that_is_not_loaded_is_not_judged_and_half_a_failure_is_one(path: Path) -> None:
    both = {"one": release("1", "classifier", "digits"), "two": release("2", "classifier", "digits")}
    backbone, tops = extractors("1"), heads(classifier=("1", "2"), digits=("1", "2"))
    tops.instead["digits", "2"] = refusing(500)
    write(path, both, current="one", shadow=trial("two"))
    async with pipeline(backbone, tops, releases=str(path), rollback_min_requests=100, **ALL) as client:
        for _ in range(10):
            await classify(client, "?heads=classifier,digits")
        unloaded = await shown(client)
        backbone.said.extend(extractors("2").said)
        await until(client, lambda found: found["releases"]["two"]["served"])
        await classify(client, "?heads=classifier,digits")
        found = await until(client, lambda found: found["releases"]["two"]["requests"] == 1)
    assert (unloaded["releases"]["two"]["requests"], unloaded["background"]) == (0, {"running": 0})
    assert found["releases"]["two"]["error_share"] == 1


async def test_a_canary_of_another_head_does_not_answer_who_names_none(path: Path) -> None:
    write(path, {"one": release("1"), "two": release("1", "digits")}, current="one", canary=trial("two"))
    async with pipeline(extractors("1"), heads(classifier=("1",), digits=("1",)), releases=str(path)) as client:
        assert (await classify(client)).json()["label"] == "classifier 1 of 1"


async def test_input_that_no_version_can_answer_ends_no_canary(path: Path) -> None:
    backbone, tops = stages()
    for version in ("1", "2"):
        tops.instead["classifier", version] = refusing(400, **{UNFIT_ROW_HEADER: "0"})
    write(path, BOTH, current="one", canary=trial("two"))
    async with pipeline(backbone, tops, releases=str(path)) as client:
        replies = [await classify(client) for _ in range(40)]
        state = (await client.get("/v1/pipeline")).json()
        tops.instead.clear()
        assert (await classify(client)).status_code == 200
    assert {(reply.status_code, reply.json()["code"]) for reply in replies} == {(400, "invalid_input")}
    assert state["releases"]["canary"] is not None
    assert state["stages"][1]["replicas"][0]["breaker"] == "closed"


async def test_a_canary_that_calls_good_input_unfit_is_found_out(path: Path) -> None:
    backbone, tops = stages()
    tops.instead["classifier", "2"] = refusing(400, **{UNFIT_ROW_HEADER: "0"})
    write(path, BOTH, current="one", canary=trial("two"))
    async with pipeline(backbone, tops, releases=str(path)) as client:
        replies = [await classify(client) for _ in range(25)]
        await until(client, lambda _: content(path)["canary"] is None)
    assert {(reply.status_code, reply.headers["x-splitway-release"]) for reply in replies} == {(200, "one")}
