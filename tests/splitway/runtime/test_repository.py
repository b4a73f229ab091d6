"""A stage follows the folder of bundles: what is new is served, what is broken is not, what is old leaves."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.body import app as body
from services.classifier import app as classifier
from services.feature_extractor import app as feature_extractor
from splitway.errors import BundleError
from splitway.releases import Release, Releases, write_releases
from splitway.runtime.engine import load_engine
from splitway.runtime.settings import StageSettings
from tests.splitway.runtime.stage_app import FEATURES, eventually, serving
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

    monkeypatch.setattr("splitway.runtime.served.load_engine", remembered)
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
