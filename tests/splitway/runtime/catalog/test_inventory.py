"""What a stage says of its models, and who may move them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from splitway.services.classifier import app as classifier
from tests.splitway.runtime.stage_app import KEY, StageClient, serving
from tests.tiny_bundles import SPACE, write_bundle

ROUTES = ("index", "models/classifier/index", "models/classifier/load", "models/nobody/unload")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[StageClient]:
    for version in (1, 2):
        write_bundle(tmp_path, "classifier", version)
    write_bundle(tmp_path, "digits", 7, "detector", unsure_below=0.6)
    async with serving(classifier.create_app, tmp_path, admin_key=KEY) as client:
        yield client


async def test_the_inventory_says_everything_a_probe_needs(stage: StageClient) -> None:
    features = {"name": "features", "datatype": "FP32", "shape": [-1, 4]}
    common = {
        "state": "ready",
        "reason": None,
        "is_default": True,
        "role": "head",
        "feature_space": SPACE,
        "gives_space": None,
        "engine": "litert",
        "source_model": "tiny",
        "cut": "middle",
        "max_rows": 64,
        "threshold": None,
        "unsure_below": None,
        "inputs": [features],
    }
    detector = [{**features, "name": "score"}, {"name": "index", "datatype": "INT64", "shape": [-1]}]
    said = await stage.stage()
    started = datetime.fromisoformat(said.pop("started_at"))
    assert timedelta() < datetime.now(UTC) - started < timedelta(minutes=1)
    assert said == {
        "stage": "classifier",
        "ready": True,
        "reason": None,
        "models": [
            common | {"name": "classifier", "version": "2", "outputs": [{**features, "name": "probabilities"}]},
            common | {"name": "digits", "version": "7", "outputs": detector, "unsure_below": 0.6},
        ],
    }


@pytest.mark.parametrize("path", ROUTES)
async def test_nobody_else_moves_models(stage: StageClient, path: str) -> None:
    missing = await stage.admin(path, key=None)
    assert missing.status_code == 401
    assert missing.headers["www-authenticate"] == "Bearer"
    for key in ("", "wrong", KEY[:-1], KEY[::-1], "schlüssel"):
        wrong = await stage.admin(path, key=key)
        assert wrong.status_code == 401, key
        assert set(wrong.json()) == {"error"}
    digest = await stage.http.post(f"/v2/repository/{path}", headers={b"authorization": f"Digest {KEY}".encode()})
    assert digest.status_code == 401
    assert await stage.states() == {"2": "ready*"}


@pytest.mark.parametrize("no_key", [None, ""], ids=["no key", "an empty key"])
async def test_without_a_key_of_its_own_a_stage_lets_nobody_in(tmp_path: Path, no_key: str | None) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path, admin_key=no_key) as stage:
        for key in (None, "", KEY):
            assert (await stage.admin("index", key=key)).status_code == 403


async def test_a_version_is_loaded_and_stays_until_it_is_unloaded(stage: StageClient, tmp_path: Path) -> None:
    loaded = await stage.admin("models/classifier/load", parameters={"version": "1"})
    assert (loaded.status_code, loaded.content) == (200, b"")
    assert await stage.states() == {"1": "ready", "2": "ready*"}
    write_bundle(tmp_path, "classifier", 3)
    await stage.until({"1": "ready", "3": "ready*"})
    assert (await stage.infer("classifier/versions/1")).model_version == "1"
    assert (await stage.admin("models/classifier/unload", parameters={"version": "1"})).status_code == 200
    assert await stage.states() == {"3": "ready*"}
    assert (await stage.post("classifier/versions/1")).status_code == 404


async def test_no_body_asks_for_the_default_and_blanks_are_no_json(stage: StageClient) -> None:
    headers = {b"authorization": f"Bearer {KEY}".encode()}
    for body, status in ((b"", 200), (b"{}", 200), (b" ", 400)):
        answer = await stage.http.post("/v2/repository/models/classifier/load", headers=headers, content=body)
        assert answer.status_code == status, body


async def test_what_was_unloaded_stays_so_until_it_is_loaded(stage: StageClient, tmp_path: Path) -> None:
    assert (await stage.admin("models/digits/unload")).status_code == 200
    assert await stage.states("digits") == {}
    assert (await stage.post("digits")).status_code == 404
    write_bundle(tmp_path, "classifier", 3)  # the folder has been looked through when this one is there
    await stage.until({"3": "ready*"})
    assert await stage.states("digits") == {}
    index = (await stage.admin("models/digits/index")).json()
    assert index == [{"name": "digits", "version": "7", "state": "UNAVAILABLE", "reason": "unloaded"}]
    assert (await stage.admin("models/digits/load")).status_code == 200
    assert (await stage.infer("digits")).model_version == "7"


async def test_unloading_the_default_gives_way_to_the_version_before(stage: StageClient) -> None:
    assert (await stage.admin("models/classifier/unload", parameters={"version": "2"})).status_code == 200
    assert await stage.states() == {"1": "ready*"}


async def test_the_index_lists_states_as_triton_does(stage: StageClient, tmp_path: Path) -> None:
    write_bundle(tmp_path, "digits", 8, "detector", damaged=True)
    await stage.until({"7": "ready*", "8": "failed"}, "digits")
    index = (await stage.admin("index")).json()
    assert [(entry["name"], entry["version"], entry["state"]) for entry in index] == [
        ("classifier", "2", "READY"),
        ("digits", "7", "READY"),
        ("digits", "8", "UNAVAILABLE"),
    ]
    assert "is corrupted" in index[2]["reason"]
    assert len((await stage.admin("index", ready=True)).json()) == 2
    refused = await stage.admin("models/digits/load", parameters={"version": "8"})
    assert refused.status_code == 500
    assert "is corrupted" in refused.json()["error"]


async def test_what_is_not_there_is_404_and_nonsense_400(stage: StageClient) -> None:
    for path, version in (("models/nobody/load", None), ("models/digits/load", "9"), ("models/digits/unload", "9")):
        parameters = {} if version is None else {"version": version}
        assert (await stage.admin(path, parameters=parameters)).status_code == 404, path
    assert (await stage.admin("models/nobody/index")).status_code == 404
    assert (await stage.admin("models/digits/load", parameters={"version": 7})).status_code == 400
    assert (await stage.admin("models/digits/load", parameters=[7])).status_code == 400
