"""A stage follows the folder of bundles: what is new is served, what is broken is not, what is old leaves."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from splitway.errors import BundleError
from splitway.releases import Release, Releases, write_releases
from splitway.runtime.engines.load import load_engine
from splitway.runtime.settings import StageSettings
from splitway.services.body import app as body
from splitway.services.classifier import app as classifier
from splitway.services.feature_extractor import app as feature_extractor
from tests.splitway.runtime.stage_app import FEATURES, KEY, eventually, serving
from tests.tiny_bundles import SPACE, damage, oracle, write_bundle


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one head of one version."""
    write_bundle(tmp_path, "classifier", 1)
    return tmp_path


def _all_ended(threads: Iterable[threading.Thread]) -> bool:
    return not any(thread.is_alive() for thread in threads)


def _answer(folder: Path) -> bytes:
    return oracle(folder, FEATURES)["probabilities"].tobytes()


async def test_a_new_version_becomes_the_default_and_the_old_one_leaves(models: Path) -> None:
    async with serving(classifier.create_app, models, keep_old_s=0.3) as stage:
        assert (await stage.infer("classifier")).model_version == "1"
        second = write_bundle(models, "classifier", 2)
        await stage.until({"1": "retiring", "2": "ready*"})
        new, old = await stage.infer("classifier"), await stage.infer("classifier/versions/1")
        assert (new.model_version, old.model_version) == ("2", "1")
        assert new.output("probabilities").array.tobytes() == _answer(second)
        assert old.output("probabilities").array.tobytes() == _answer(models / "classifier" / "1")
        assert (await stage.http.get("/v2/models/classifier")).json()["versions"] == ["1", "2"]
        await stage.until({"2": "ready*"})
        gone = await stage.post("classifier/versions/1")
        assert gone.status_code == 404
        assert "no version '1' here, only '2'" in gone.json()["error"]


async def test_a_damaged_version_leaves_the_old_one_serving_and_is_logged_once(
    models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = models / "classifier" / "1"
    async with serving(classifier.create_app, models) as stage:
        with caplog.at_level(logging.WARNING, "splitway"):
            write_bundle(models, "classifier", 2, damaged=True)
            await stage.until({"1": "ready*", "2": "failed"})
            await asyncio.sleep(0.1)
        assert [record.message.count("is corrupted") for record in caplog.records] == [1]
        failed = (await stage.stage())["models"][1]
        assert failed["reason"].startswith("model.tflite is corrupted")
        assert f"{models}/classifier/2/model.tflite is corrupted" in caplog.text
        answer = await stage.infer("classifier")
        assert answer.output("probabilities").array.tobytes() == _answer(good)
        assert (await stage.post("classifier/versions/2")).status_code == 404
        write_bundle(models, "classifier", 2)
        await stage.until({"2": "ready*"})


async def test_a_rewritten_bundle_is_loaded_again(models: Path) -> None:
    async with serving(classifier.create_app, models, keep_old_s=30) as stage:
        before = _answer(models / "classifier" / "1")
        after = _answer(write_bundle(models, "classifier", 1, seed=77))
        assert before != after
        answers = {before}
        async with asyncio.timeout(10):
            while answers != {before, after}:
                answer = await stage.infer("classifier")
                answers.add(answer.output("probabilities").array.tobytes())
                await asyncio.sleep(0)  # nothing of a request without a socket waits for the event loop
        assert await stage.states() == {"1": "ready*"}
        write_bundle(models, "classifier", 1, seed=78, damaged=True)
        await asyncio.sleep(0.1)
        assert (await stage.infer("classifier")).output("probabilities").array.tobytes() in answers


async def test_a_removed_version_gives_way_to_the_one_before(models: Path) -> None:
    write_bundle(models, "classifier", 2)
    async with serving(classifier.create_app, models) as stage:
        await stage.until({"2": "ready*"})
        (models / "classifier" / "2").rename(models / "classifier" / ".2")
        await stage.until({"1": "ready*"})
        assert (await stage.infer("classifier")).model_version == "1"


async def test_a_new_head_appears_and_a_removed_one_goes(models: Path) -> None:
    async with serving(classifier.create_app, models) as stage:
        assert (await stage.post("digits")).status_code == 404
        write_bundle(models, "body_1", 1, "body")
        folder = write_bundle(models, "digits", 4, "detector")
        await stage.until({"4": "ready*"}, "digits")
        answer = await stage.infer("digits")
        for name, array in oracle(folder, FEATURES).items():
            assert answer.output(name).array.tobytes() == array.tobytes()
        assert answer.output("index").datatype == "INT64"
        assert {entry["name"] for entry in (await stage.stage())["models"]} == {"classifier", "digits"}
        assert 'version="4"' in (await stage.http.get("/metrics")).text
        folder.rename(models / "digits" / ".4")
        await stage.until({}, "digits")
        assert 'version="4"' not in (await stage.http.get("/metrics")).text
        assert (await stage.infer("classifier")).model_version == "1"


async def test_a_head_that_is_damaged_from_the_start_does_not_stop_the_others(models: Path) -> None:
    write_bundle(models, "digits", 1, damaged=True)
    write_bundle(models, "letters", 1)
    write_bundle(models, "letters", 2, damaged=True)
    async with serving(classifier.create_app, models) as stage:
        assert await stage.states() == {"1": "ready*"}
        assert await stage.states("digits") == {"1": "failed"}
        assert await stage.states("letters") == {"1": "ready*", "2": "failed"}


def test_nothing_that_can_be_served_stops_the_start_with_the_files_name(models: Path) -> None:
    damage(models / "classifier" / "1")
    with pytest.raises(BundleError, match=r"classifier/1/model\.tflite is corrupted"):
        classifier.create_app(StageSettings(models=models))
    with pytest.raises(BundleError, match=r"no bundle at .*feature_extractor"):
        feature_extractor.create_app(StageSettings(models=models))
    with pytest.raises(BundleError, match=r"no bundle at .*/nothing/classifier"):
        classifier.create_app(StageSettings(models=models / "nothing"))


async def test_versions_of_releases_in_use_are_kept(models: Path) -> None:
    for version in (2, 3):
        write_bundle(models, "classifier", version)
    file = models / "releases.json"
    release = Release(extractor="1", heads={"classifier": "1"}, feature_space=SPACE, created="now")
    async with serving(classifier.create_app, models) as stage:
        await stage.until({"3": "ready*"})
        write_releases(file, Releases(releases={"first": release}, current="first"))
        await stage.until({"1": "ready", "3": "ready*"})
        write_bundle(models, "classifier", 4)
        await stage.until({"1": "ready", "4": "ready*"})
        file.write_text("{")
        write_bundle(models, "classifier", 5)
        await stage.until({"1": "ready", "5": "ready*"})
        write_releases(file, Releases(releases={"first": release}))
        await stage.until({"5": "ready*"})


async def test_a_pinned_version_is_not_replaced(models: Path) -> None:
    write_bundle(models, "classifier", 2)
    async with serving(classifier.create_app, models, model_version="1") as stage:
        write_bundle(models, "digits", 1)
        await stage.until({"1": "ready*"}, "digits")
        assert await stage.states() == {"1": "ready*"}


async def test_a_request_that_was_being_read_finishes_on_the_version_it_came_to(models: Path) -> None:
    first = _answer(models / "classifier" / "1")
    half_read, rest = asyncio.Event(), asyncio.Event()
    async with serving(classifier.create_app, models) as stage:
        sent = (await stage.post("classifier")).request

        async def slowly() -> Any:
            yield sent.content[:10]
            half_read.set()
            await rest.wait()
            yield sent.content[10:]

        headers = {"inference-header-content-length": sent.headers["inference-header-content-length"]}
        asked = asyncio.create_task(stage.http.post("/v2/models/classifier/infer", content=slowly(), headers=headers))
        await half_read.wait()
        write_bundle(models, "classifier", 2)
        await stage.until({"2": "ready*"})
        rest.set()
        reply = await asked
        assert reply.status_code == 200
        assert b'"model_version":"1"' in reply.content
        assert first in reply.content


async def test_what_has_left_gives_its_memory_and_threads_back(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[weakref.ref[Any]] = []

    def remembered(*arguments: Any) -> Any:
        engine = load_engine(*arguments)
        engines.append(weakref.ref(engine))
        return engine

    monkeypatch.setattr("splitway.runtime.catalog.served.load_engine", remembered)
    async with serving(classifier.create_app, models) as stage:
        for version in range(2, 6):
            gc.collect()
            gc.freeze()  # as `splitway serve` does: what is in a cycle then stays for ever
            await stage.infer("classifier")
            before = {thread for thread in threading.enumerate() if thread.name.startswith("engine")}
            assert before
            write_bundle(models, "classifier", version)
            await stage.until({str(version): "ready*"})
            await eventually(partial(_all_ended, before))
            await eventually(lambda: sum(engine() is not None for engine in engines) == 1)
    gc.unfreeze()
    assert not [engine for engine in engines if engine() is not None]


async def test_a_body_follows_its_own_name(tmp_path: Path) -> None:
    write_bundle(tmp_path, "body_2", 1, "body")
    async with serving(lambda settings: body.create_app("body_2", settings), tmp_path) as stage:
        write_bundle(tmp_path, "body_1", 1, "body")
        write_bundle(tmp_path, "body_2", 2, "body")
        await stage.until({"2": "ready*"}, "body_2")
        content = await stage.stage()
        assert (content["stage"], content["ready"], len(content["models"])) == ("body_2", True, 1)


async def test_looking_only_at_the_start(models: Path) -> None:
    async with serving(classifier.create_app, models, rescan_ms=0) as stage:
        write_bundle(models, "classifier", 2)
        await asyncio.sleep(0.1)
        assert await stage.states() == {"1": "ready*"}


FOREIGN_FORMAT = {"format": 2}


def _foreign(folder: Path) -> None:
    manifest = folder / "stage.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | FOREIGN_FORMAT))


def _cut(folder: Path) -> None:
    manifest = folder / "stage.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])


def _without_model(folder: Path) -> None:
    (folder / "model.tflite").unlink()


def _empty(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


DAMAGE = {
    "model": damage,
    "manifest": _cut,
    "foreign format": _foreign,
    "missing file": _without_model,
    "nothing in it": _empty,
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE.keys())
async def test_at_the_start_the_newest_whole_version_is_served_and_the_damaged_one_named(
    models: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    for version in (2, 3):
        spoil(write_bundle(models, "classifier", version))
    with caplog.at_level(logging.ERROR, "splitway.runtime"):
        async with serving(classifier.create_app, models) as stage:
            await stage.until({"1": "ready*", "2": "failed", "3": "failed"})
            answer = await stage.infer("classifier")
            assert answer.output("probabilities").array.tobytes() == _answer(models / "classifier" / "1")
            assert (await stage.http.get("/readyz")).json() == {"ready": True, "reason": None}
            said = (await stage.http.get("/metrics")).text
            assert 'splitway_stage_failed_versions{stage="classifier"} 2.0' in said
    for spoilt in ("2", "3"):
        lines = [r.message for r in caplog.records if f"classifier version {spoilt} is not served" in r.message]
        assert len(lines) == 1
        assert f"{models}/classifier/{spoilt}" in lines[0]


async def test_a_damaged_newest_extractor_or_body_stops_no_start_either(tmp_path: Path) -> None:
    for name, kind in (("feature_extractor", "extractor"), ("body_1", "body")):
        write_bundle(tmp_path, name, 1, kind)
        write_bundle(tmp_path, name, 2, kind, damaged=True)
    async with serving(lambda settings: body.create_app("body_1", settings), tmp_path) as stage:
        await stage.until({"1": "ready*", "2": "failed"}, "body_1")
    feature_extractor.create_app(StageSettings(models=tmp_path))


def test_a_version_that_is_named_and_damaged_stops_the_start(models: Path) -> None:
    write_bundle(models, "classifier", 2, damaged=True)
    with pytest.raises(BundleError, match=r"classifier/2/model\.tflite is corrupted"):
        classifier.create_app(StageSettings(models=models, model_version="2"))


def _take_away(models: Path, to: Path) -> None:
    to.mkdir()
    for path in models.iterdir():
        path.rename(to / path.name)


@pytest.mark.parametrize("missing", [False, True], ids=["emptied", "missing"])
async def test_an_emptied_folder_takes_nothing_away(
    models: Path, tmp_path: Path, missing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    write_bundle(models / "in", "classifier", 1)
    write_bundle(models / "in", "digits", 4, "detector")
    bundles = models / "in"
    async with serving(classifier.create_app, bundles, keep_old_s=0.05) as stage:
        await stage.until({"4": "ready*"}, "digits")
        with caplog.at_level(logging.ERROR, "splitway.runtime"):
            _take_away(bundles, tmp_path / "away")
            if missing:
                bundles.rmdir()
            looks = asyncio.create_task(asyncio.sleep(0.5))  # many times as long as a replaced version stays
            while not looks.done():
                assert (await stage.infer("classifier")).model_version == "1"
                assert (await stage.infer("digits")).model_version == "4"
                assert await stage.states() == {"1": "ready*"}
                await asyncio.sleep(0.02)
            said = [record.message for record in caplog.records]
        if not missing:
            assert sorted(line.split(":")[0] for line in said) == [
                "classifier version 1 is served on",
                "digits version 4 is served on",
            ]
            reasons = {entry["name"]: entry["reason"] for entry in (await stage.stage())["models"]}
            assert "its bundle is gone" in reasons["classifier"]
        write_bundle(bundles, "classifier", 2)
        await stage.until({"2": "ready*"})
        await stage.until({}, "digits")  # others are there again, and it is not


async def test_the_only_version_of_a_stage_stays_until_another_is_loaded(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "body_1", 1, "body")
    async with serving(lambda settings: body.create_app("body_1", settings), tmp_path, keep_old_s=0.05) as stage:
        folder.rename(tmp_path / "body_1" / ".1")
        write_bundle(tmp_path, "body_1", 2, "body", damaged=True)
        await stage.until({"1": "ready*", "2": "failed"}, "body_1")
        await asyncio.sleep(0.3)
        assert await stage.states("body_1") == {"1": "ready*", "2": "failed"}
        write_bundle(tmp_path, "body_1", 2, "body")
        await stage.until({"2": "ready*"}, "body_1")


async def test_what_an_administrator_unloads_goes_also_while_the_folder_is_empty(models: Path, tmp_path: Path) -> None:
    async with serving(classifier.create_app, models, admin_key=SecretStr(KEY), keep_old_s=0.05) as stage:
        _take_away(models / "classifier", tmp_path / "away")
        headers = {b"authorization": f"Bearer {KEY}".encode()}
        reply = await stage.http.post("/v2/repository/models/classifier/unload", headers=headers)
        assert reply.status_code == 200
        await stage.until({})
