"""Heads of which several labels can be right: alone, beside others, in releases, from kept features."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from splitway.answers.classes.best import best_classes
from splitway.wire.v2_json import HEADER_LENGTH, parse_request
from tests.gateway.conftest import Handler, answer
from tests.gateway.versioned import Stage, classify, extractors, heads, pipeline, release, space, trial, write

LABELS = [f"label {number}" for number in range(8)]
SIX = (0.9, 0.1, 0.8, 0.7, 0.6, 0.55, 0.5, 0.2)
NONE = (0.1,) * 8
PROBABILITIES = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 8]}


def saying(name: str, version: str, probabilities: tuple[float, ...]) -> Handler:
    """A head that writes its classes as a stage does."""

    async def handle(request: web.Request) -> web.StreamResponse:
        asked = parse_request(await request.read(), request.headers.get(HEADER_LENGTH)).outputs[0]
        row = np.array([probabilities], np.float32)
        tensor = best_classes(row, asked.top_k, LABELS, 0.5 if asked.all_labels else None)
        return answer(name, tensor, feature_space=None, version=version)

    return handle


def tagging(*probabilities: tuple[float, ...]) -> Stage:
    """A replica with the heads `classifier` and `tags`, of which each version of `tags` gives these."""
    versions = tuple(str(number) for number, _ in enumerate(probabilities, 1))
    stage = heads(classifier=versions, tags=versions)
    for entry in stage.said:
        if entry["name"] == "tags":
            entry |= {"outputs": [PROBABILITIES], "threshold": 0.5}
            row = probabilities[int(entry["version"]) - 1]
            stage.instead["tags", entry["version"]] = saying("tags", entry["version"], row)
    return stage


def indices(said: dict[str, Any]) -> list[int]:
    return [each["index"] for each in said["predictions"]]


async def test_every_label_that_reaches_the_threshold_is_given_and_top_k_only_cuts() -> None:
    async with pipeline(extractors("1"), tagging(SIX)) as client:
        replies = [(await classify(client, f"?heads=tags,classifier{more}")) for more in ("", "&top_k=2", "&top_k=8")]
    said, cut, wide = (reply.json()["heads"]["tags"] for reply in replies)
    assert list(said) == [
        *("status", "label", "confidence", "predictions", "multi_label", "threshold"),
        *("version", "timings_ms"),
    ]
    assert (said["label"], said["multi_label"], said["threshold"]) == ("label 0", True, 0.5)
    assert indices(said) == indices(wide) == [0, 2, 3, 4, 5, 6]
    assert indices(cut) == [0, 2]
    assert {"multi_label", "threshold"}.isdisjoint(replies[0].json()["heads"]["classifier"])


async def test_where_no_label_reaches_it_there_is_no_first() -> None:
    async with pipeline(extractors("1"), tagging(NONE)) as client:
        said = (await classify(client, "?heads=tags")).json()["heads"]["tags"]
    assert (said["status"], said["label"], said["confidence"], said["predictions"]) == (200, None, None, [])


async def test_it_may_be_the_one_head_that_is_asked() -> None:
    stage = tagging(SIX)
    stage.said = [entry for entry in stage.said if entry["name"] == "tags"]
    async with pipeline(extractors("1"), stage) as client:
        said = (await classify(client)).json()
    assert set(said) == {
        *("id", "label", "confidence", "predictions", "multi_label", "threshold", "model", "timings_ms"),
    }
    assert indices(said) == [0, 2, 3, 4, 5, 6]


async def test_more_labels_than_were_asked_for_are_nonsense() -> None:
    stage = tagging(SIX)

    async def careless(_: web.Request) -> web.StreamResponse:
        row = np.array([SIX], np.float32)
        return answer("tags", best_classes(row, 8, LABELS), feature_space=None)

    stage.instead["tags", "1"] = careless
    async with pipeline(extractors("1"), stage) as client:
        said = (await classify(client, "?heads=tags&top_k=2")).json()
    assert said["code"] == "bad_stage_answer"


async def test_kept_features_give_the_same_labels() -> None:
    backbone = extractors("1")
    async with pipeline(backbone, tagging(SIX), cache="memory") as client:
        replies = [(await classify(client, "?heads=tags")) for _ in range(2)]
    one, two = (reply.json()["heads"]["tags"]["predictions"] for reply in replies)
    assert one == two
    assert "hit" in replies[1].headers["cache-status"]
    assert len(backbone.calls) == 1


def _with(probabilities: tuple[float, ...], at: int, value: float) -> tuple[float, ...]:
    return tuple(value if number == at else each for number, each in enumerate(probabilities))


@pytest.mark.parametrize(
    ("other", "query", "agreement"),
    [
        (_with(SIX, 2, 0.95), "", 1.0),
        (_with(SIX, 2, 0.1), "", 0.0),
        (_with(SIX, 7, 0.5), "", 0.0),
        (_with(SIX, 7, 0.5), "&top_k=6", 1.0),
    ],
    ids=["another first", "one fewer", "one more", "one more, which was cut away"],
)
async def test_a_canary_agrees_where_it_gives_the_same_labels(
    tmp_path: Path, other: tuple[float, ...], query: str, agreement: float
) -> None:
    path = tmp_path / "releases.json"
    names = ("classifier", "tags")
    write(path, {"one": release("1", *names), "two": release("2", *names)}, current="one", canary=trial("two", 100.0))
    settings = {"releases": str(path), "background_runs": 100, "compare_share": 1.0, "rollback_disagreement": 1.0}
    async with pipeline(extractors("1", "2"), tagging(SIX, other), **settings) as client:
        reply = await classify(client, f"?heads=tags{query}")
        for _ in range(200):
            found = (await client.get("/v1/pipeline")).json()["releases"]["releases"]["two"]
            if found["compared"]:
                break
            await asyncio.sleep(0.02)
    assert reply.json()["model"]["feature_space"] == space("2")
    assert found["agreement"] == agreement
