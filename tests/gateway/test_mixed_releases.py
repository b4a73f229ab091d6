"""Versions come and go under load: every answer is of one release through and through, and nobody fails.

Each head's label says which version it is and which extractor's features it was given; the reply says which versions
were called. The heads here take whatever they are given, so that a gateway that mixes is found out by its answers.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from aiohttp import web

from splitway.gateway.fleet.router import Want
from splitway.gateway.flow.executor import Executor
from splitway.gateway.flow.request import Request
from splitway.gateway.hop.turn import HopAnswer
from splitway.wire.tensor import Tensor
from tests.gateway.conftest import Entry, Handler, answer, classes, extractor_entry, head_entry
from tests.gateway.hop.test_stage_client import refusing
from tests.gateway.versioned import (
    Stage,
    classify,
    extractors,
    heads,
    pipeline,
    release,
    space,
    trial,
    write,
)

NAMES = ("classifier", "digits")
_LABEL = re.compile(r"(\w+) (\d+) of (\d+)")


def versions_in(label: str) -> set[str]:
    """The head's version, and that of the extractor whose features it was given."""
    found = _LABEL.fullmatch(label)
    assert found is not None, label
    return {found[2], found[3]}


@dataclass(frozen=True)
class Seen:
    """One answer: everything in it that names a version."""

    status: int
    versions: frozenset[str]
    release: str | None
    detail: str

    @classmethod
    def of(cls, reply: httpx.Response) -> Seen:
        content: dict[str, Any] = reply.json()
        if reply.status_code != 200:
            return cls(reply.status_code, frozenset(), None, reply.text)
        model = dict(content["model"])
        found = {str(int(model.pop("feature_space").removeprefix("fs:"), 16))}
        named = model.pop("release", None)
        found |= {str(version) for version in model.values()}
        for entry in content["heads"].values() if "heads" in content else [content]:
            found |= versions_in(entry["label"]) | {str(entry.get("version", model["feature_extractor"]))}
        return cls(200, frozenset(found), named, "")


class Fleet:
    """Two extractors and two stages of heads whose versions change while they serve."""

    def __init__(self) -> None:
        self.extractors = [extractors("1"), extractors("1")]
        self.heads = [heads(classifier=("1",), digits=("1",)) for _ in range(2)]

    @property
    def all(self) -> list[Stage]:
        return [*self.extractors, *self.heads]

    async def offers(self, version: str, pause_s: float) -> None:
        """Each replica, in its own time, loads a version beside the old ones; heads and extractors in any order."""
        for stage in random.Random(int(version)).sample(self.all, 4):
            for entry in stage.said:
                entry.update(is_default=False, state="retiring")
            stage.said += _entries(stage, version)
            await asyncio.sleep(pause_s)

    async def withdraws(self, version: str, pause_s: float) -> None:
        """Each replica drops a version at once, and its inventory says so only later."""
        for stage in random.Random(int(version)).sample(self.all, 4):
            stage.gone |= {(entry["name"], version) for entry in stage.said}
            await asyncio.sleep(pause_s)
            stage.said[:] = [entry for entry in stage.said if entry["version"] != version]


def _entries(stage: Stage, version: str) -> list[Entry]:
    if stage.name == "feature_extractor":
        return [extractor_entry(version, space(version))]
    return [head_entry(name, version, space(version)) for name in NAMES]


class Callers:
    """Send requests until they are told to stop."""

    def __init__(self, client: httpx.AsyncClient, query: str) -> None:
        self._client = client
        self._query = query
        self._over = asyncio.Event()
        self.seen: list[Seen] = []

    async def send(self) -> None:
        while not self._over.is_set():
            reply = await classify(self._client, self._query, picture=b"picture")
            self.seen.append(Seen.of(reply))
            await asyncio.sleep(0.005)

    async def until_done(self, work: asyncio.Task[None]) -> None:
        senders = [asyncio.create_task(self.send()) for _ in range(4)]
        await work
        await asyncio.sleep(0.2)
        self._over.set()
        await asyncio.gather(*senders)


async def _changes(fleet: Fleet) -> None:
    for old, new in (("1", "2"), ("2", "3"), ("3", "4")):
        await asyncio.sleep(0.1)
        await fleet.offers(new, 0.1)
        await asyncio.sleep(0.3)
        await fleet.withdraws(old, 0.1)


async def run(query: str, **settings: object) -> list[Seen]:
    fleet = Fleet()
    async with pipeline(*fleet.all, **settings) as client:
        callers = Callers(client, query)
        await callers.until_done(asyncio.create_task(_changes(fleet)))
    return callers.seen


@pytest.mark.parametrize("cache", ["off", "memory"])
@pytest.mark.parametrize("query", ["", "?heads=classifier,digits"], ids=["one head", "two heads"])
async def test_versions_that_change_under_load_are_never_mixed_and_nobody_fails(query: str, cache: str) -> None:
    seen = await run(query, cache=cache)
    assert [each for each in seen if each.status != 200] == []
    assert [each for each in seen if len(each.versions) != 1] == []
    assert set().union(*(each.versions for each in seen)) == {"1", "2", "3", "4"}
    assert len(seen) > 200


async def test_a_gateway_that_mixes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is broken once: heads are called at any version. Then the check above must fail."""
    honest = Executor._head

    async def any_version(self: Executor, request: Request, name: str, given: HopAnswer) -> HopAnswer:
        pretended = random.Random(len(str(given.model.gives))).choice([space("1"), space("2")])
        want = Want(frozenset({name}), request.choice.pins)
        there = pretended if self._router.target(1, pretended, want) else given.model.gives
        return await honest(self, request, name, given._replace(model=replace(given.model, gives=there)))

    monkeypatch.setattr(Executor, "_head", any_version)
    seen = await run("")
    assert [each for each in seen if each.status == 200 and len(each.versions) != 1]


async def test_a_release_that_is_promoted_under_load(tmp_path: Path) -> None:
    """Canary, promotion and withdrawal of the old release, while callers go on; each answer is of its own release."""
    path = tmp_path / "releases.json"
    both = {"one": release("1", *NAMES), "two": release("2", *NAMES)}
    write(path, both, current="one")
    fleet = Fleet()

    async def change() -> None:
        await fleet.offers("2", 0.1)
        write(path, both, current="one", canary=trial("two", 50.0))
        await asyncio.sleep(0.6)
        write(path, both, current="two", previous="one")
        await asyncio.sleep(0.4)
        await fleet.withdraws("1", 0.1)

    async with pipeline(*fleet.all, releases=str(path), rollback_disagreement=1.0) as client:
        callers = Callers(client, "?heads=classifier,digits")
        await callers.until_done(asyncio.create_task(change()))
    assert [each for each in callers.seen if each.status != 200] == []
    wrong = [each for each in callers.seen if each.versions != {{"one": "1", "two": "2"}[str(each.release)]}]
    assert wrong == []
    counted = Counter(each.release for each in callers.seen)
    assert counted["one"] > 20
    assert counted["two"] > 20


def _counted(stage: Stage, *offer: str) -> int:
    return stage.calls.count((offer[0], offer[1]))


async def test_a_head_that_has_moved_on_is_asked_elsewhere_and_then_left_alone() -> None:
    gone, there = heads(classifier=("1",)), heads(classifier=("1",))
    gone.gone.add(("classifier", "1"))
    backbone = extractors("1")
    async with pipeline(backbone, gone, there, probe_interval_ms=60_000) as client:
        replies = [await classify(client) for _ in range(20)]
        stage = (await client.get("/v1/pipeline")).json()["stages"][1]
    assert {reply.status_code for reply in replies} == {200}
    assert len(backbone.calls) == 20
    assert (_counted(gone, "classifier", "1"), _counted(there, "classifier", "1")) == (1, 20)
    assert stage["retry_budget"] == 10
    assert sorted(len(replica["models"]) for replica in stage["replicas"]) == [0, 1]


async def test_where_nobody_takes_the_features_any_more_all_is_done_again() -> None:
    backbone = Stage(
        "feature_extractor",
        [extractor_entry("1", space("1")), extractor_entry("2", space("2"), is_default=False)],
    )
    tops = heads(classifier=("1", "2"))
    tops.gone.add(("classifier", "1"))
    async with pipeline(backbone, tops, probe_interval_ms=60_000) as client:
        replies = [await classify(client) for _ in range(3)]
    assert [reply.json()["label"] for reply in replies] == ["classifier 2 of 2"] * 3
    assert [version for _, version in backbone.calls] == ["1", "2", "2", "2"]


def _liar(version: str, features_of: str) -> Handler:
    """Whatever it is called at, it answers as this version, in that space."""

    async def handle(_: web.Request) -> web.StreamResponse:
        features = Tensor.of_array("features", np.full((1, 4), int(features_of), np.float32))
        return answer("feature_extractor", features, feature_space=space(features_of), version=version)

    return handle


@pytest.mark.parametrize(("version", "features_of"), [("2", "1"), ("1", "2")], ids=["another version", "another space"])
async def test_an_extractor_that_says_another_version_or_space_is_not_believed(version: str, features_of: str) -> None:
    backbone, tops = extractors("1"), heads(classifier=("1", "2"))
    backbone.instead["feature_extractor", "1"] = _liar(version, features_of)
    async with pipeline(backbone, tops) as client:
        reply = await classify(client)
    assert (reply.status_code, reply.json()["code"]) == (502, "bad_stage_answer")
    assert tops.calls == []


async def test_a_head_of_another_version_than_the_one_called_is_not_believed() -> None:
    async def old(_: web.Request) -> web.StreamResponse:
        return answer("classifier", classes(b"0.5:1:dog"), feature_space=None, version="1")

    tops = heads(classifier=("2",))
    tops.instead["classifier", "2"] = old
    async with pipeline(extractors("2"), tops) as client:
        reply = await classify(client)
    assert (reply.status_code, reply.json()["code"]) == (502, "bad_stage_answer")
    assert "called at version 2 and answered with another version" in reply.json()["detail"]


async def test_a_head_that_refuses_the_features_is_asked_elsewhere() -> None:
    strict, there = heads(classifier=("1",)), heads(classifier=("1",))
    strict.instead["classifier", "1"] = refusing(409)
    async with pipeline(extractors("1"), strict, there) as client:
        replies = [await classify(client) for _ in range(10)]
    assert {reply.status_code for reply in replies} == {200}
