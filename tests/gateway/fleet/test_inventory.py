"""What replicas say of themselves, sense and nonsense."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web

from splitway.gateway.fleet.inventory import read_inventory
from tests.gateway.conftest import SPACE, body_entry, extractor_entry, head_entry
from tests.gateway.versioned import Stage, classify, extractors, heads, pipeline


def _said(*models: Any, ready: Any = True, **more: Any) -> bytes:
    return orjson.dumps({"stage": "s", "ready": ready, "reason": None, "models": models, **more})


def test_what_can_be_called_is_what_is_ready_or_retires() -> None:
    states = ("ready", "retiring", "loading", "failed")
    said = [head_entry(version=str(n), state=state) for n, state in enumerate(states, 1)]
    assert sorted(read_inventory(_said(*said)).models) == [("classifier", "1"), ("classifier", "2")]


def test_a_version_that_cannot_be_read_takes_no_other_with_it() -> None:
    unread: dict[str, Any] = dict.fromkeys(("role", "feature_space", "gives_space", "engine"))
    broken = {"name": "x", "version": "2", "state": "failed", "is_default": False, **unread, "inputs": []}
    assert list(read_inventory(_said(head_entry(), broken)).models) == [("classifier", "1")]


def test_a_heads_threshold_and_mark_are_read_and_none_in_an_older_stage() -> None:
    (new,) = read_inventory(_said(head_entry(threshold=0.5, unsure_below=0.6))).models.values()
    (old,) = read_inventory(_said(head_entry())).models.values()
    assert (new.threshold, new.unsure_below) == (0.5, 0.6)
    assert (old.threshold, old.unsure_below) == (None, None)


def test_who_takes_and_gives_what_follows_from_the_role() -> None:
    said = _said(extractor_entry(), body_entry("body_1", SPACE, "fs:other"), head_entry())
    spaces = {name: (model.takes, model.gives) for (name, _), model in read_inventory(said).models.items()}
    assert spaces == {
        "feature_extractor": (None, SPACE),
        "body_1": (SPACE, "fs:other"),
        "classifier": (SPACE, None),
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"ready": true}',
        _said(ready="perhaps"),
        _said(1),
        _said({"state": "ready"}),
        _said(head_entry(version="v2")),
        _said(head_entry(name="../x")),
        _said(head_entry(role="queen")),
        _said(head_entry(feature_space=None)),
        _said(head_entry(gives_space=SPACE)),
        _said(head_entry(threshold=1.5)),
        _said(extractor_entry(feature_space=None)),
        _said(head_entry(inputs=[{"name": "x", "datatype": "FP32", "shape": "wide"}])),
    ],
    ids=range(15),
)
def test_nonsense_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_inventory(body)


async def _ready(client: httpx.AsyncClient, stage: int) -> tuple[int, str]:
    """Whether the gateway is ready, and what it says of a stage's only replica to whoever runs it."""
    ready = await client.get("/readyz")
    (replica,) = (await client.get("/v1/pipeline")).json()["stages"][stage]["replicas"]
    return ready.status_code, str(replica["reason"])


async def test_a_replica_that_makes_no_sense_is_not_ready_and_the_reason_is_shown() -> None:
    odd = Stage("classifier", [head_entry(role="queen")])
    async with pipeline(extractors("1"), odd) as client:
        status, reason = await _ready(client, 1)
        told = (await client.get("/readyz")).json()
    assert status == 503
    assert "sends an invalid description: role" in reason
    assert told["reason"] == told["stages"]["classifier"] == "no replica of classifier is ready: 1 not ready"


async def test_a_replica_without_the_model_of_its_stage_is_not_ready() -> None:
    async with pipeline(Stage("feature_extractor", [head_entry()]), heads(classifier=("1",))) as client:
        status, reason = await _ready(client, 0)
    assert (status, "serves no extractor" in reason) == (503, True)


async def test_a_replica_that_is_no_stage_is_not_ready(unused_tcp_port: int) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with pipeline(extractors("1"), classifier=url) as client:
        status, reason = await _ready(client, 1)
        reply = await classify(client)
    await runner.cleanup()
    assert (status, reply.status_code) == (503, 503)
    assert "is not ready: status 404" in reason


@pytest.mark.parametrize("said", [0, -1, "many"])
def test_a_number_of_rows_that_can_be_none_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="max_rows"):
        read_inventory(_said(head_entry(max_rows=said)))


def _pictures(rows: int) -> dict[str, Any]:
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [rows], "data": ["x"] * rows}]}


async def test_more_rows_than_a_later_stage_takes_are_refused_before_any_stage_is_called() -> None:
    first = extractors("1")
    last = heads(classifier=("1",), pets=("1",))
    last.said[0]["max_rows"] = 6
    async with pipeline(first, last) as client:
        refused = await client.post("/v2/models/pipeline/infer", json=_pictures(7))
        assert refused.status_code == 413
        assert refused.json() == {"error": "the request has 7 rows; classifier accepts at most 6 at once"}
        assert not first.calls
        last.said[0]["max_rows"] = 7
        pets = await client.post("/v2/models/pipeline/infer", json=_pictures(7) | {"parameters": {"head": "pets"}})
        assert (first.calls, pets.status_code != 413) == ([("feature_extractor", "1")], True)


async def test_a_stage_that_does_not_say_how_many_rows_it_takes_is_asked_as_before() -> None:
    first, last = extractors("1"), heads(classifier=("1",))
    async with pipeline(first, last) as client:
        await client.post("/v2/models/pipeline/infer", json=_pictures(7))
    assert first.calls
