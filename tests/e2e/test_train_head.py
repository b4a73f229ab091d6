"""A new head, from a folder of pictures to answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from samples.digits import write_digits
from splitway.bundle import load_bundle
from splitway.bundle_graph import find_chain
from splitway.cli.ask.classify import PictureResult, classify_files
from splitway.cli.ask.classify_in_process import classify_in_process
from splitway.cli.console import Steps
from splitway.cli.heads.extract import Hop, extract, extract_in_process
from splitway.cli.operate.up import passing_pipeline
from splitway.local.launch import LocalPipeline
from testkit.support import one_line, picture, splitway

pytestmark = pytest.mark.alone

PER_CLASS = 100
HEADS = ["classifier", "digits"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder, PER_CLASS)
    return folder


@pytest.fixture
def own_models(models: Path, tmp_path: Path) -> Path:
    """The default bundles where a head may be added to them."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("feature_extractor", "classifier"):
        shutil.copytree(models / name, folder / name, copy_function=os.link)
    return folder


@pytest.fixture
def extractor_url(pipeline: LocalPipeline) -> str:
    return pipeline.of("feature_extractor")[0].url


@pytest.fixture
def two_classes(tmp_path: Path) -> Path:
    """A few pictures each of two classes that any head tells apart."""
    images = tmp_path / "images"
    for label, size in (("wide", (90, 20)), ("tall", (20, 90))):
        (images / label).mkdir(parents=True)
        for number in range(6):
            (images / label / f"{number}.png").write_bytes(picture(size=(size[0] + number, size[1])))
    return images


def test_digits_are_learnt(digits: Path, own_models: Path, extractor_url: str, tmp_path: Path) -> None:
    arguments = ("--images", digits, "--name", "digits", "--models", own_models, "--extractor", extractor_url)
    result = splitway("train-head", *arguments, "--unsure-below", "0.6", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    share, _, rest = result.stdout.partition("% of ")
    assert rest.startswith(f"{2 * PER_CLASS} pictures that were held out")
    assert float(share) >= 95, result.stdout
    assert " taken for " in result.stdout
    assert (own_models / "digits" / "1-confusion.svg").read_text().startswith("<svg")
    bundle = load_bundle(own_models / "digits" / "1", role="head")
    first = load_bundle(own_models / "feature_extractor" / "1").manifest
    assert bundle.labels == tuple("0123456789")
    assert bundle.manifest.feature_space == first.feature_space
    assert bundle.manifest.cut == first.cut
    assert bundle.manifest.unsure_below == 0.6
    proof = bundle.manifest.proof
    assert proof is not None
    assert proof.against_uncut.max_abs <= 1e-4
    _check_both_heads([digits / "7" / "050.png", digits / "3" / "050.png"], own_models)


def _check_both_heads(files: list[Path], models: Path) -> None:
    """Over the gateway and in this process two heads say the same, byte for byte."""
    local = classify_in_process(files, models, HEADS, top_k=10)
    assert [_said(result, "digits")["label"] for result in local] == ["7", "3"]
    with passing_pipeline(models) as own:
        served = classify_files(files, own.gateway.url, 10, HEADS)
    for one, other in zip(local, served, strict=True):
        for head in HEADS:
            first, second = (json.dumps(_said(result, head)["predictions"]) for result in (one, other))
            assert first == second


def _said(result: PictureResult, head: str) -> dict[str, Any]:
    assert result.reply is not None
    said: dict[str, Any] = result.reply["heads"][head]
    return said


def test_a_picture_that_cannot_be_read_is_left_out_and_named_or_ends_it(
    two_classes: Path, extractor_url: str, tmp_path: Path
) -> None:
    (two_classes / "tall" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (two_classes / "tall" / "readme.png").write_text("no picture")
    models = tmp_path / "new"
    arguments: list[str | Path] = ["--images", two_classes, "--name", "shapes"]
    arguments += ["--models", models, "--extractor", extractor_url]
    said = one_line(splitway("train-head", *arguments, "--strict"))
    assert "tall/readme.png cannot be used: no picture; without --strict" in said
    (two_classes / "tall" / "readme.png").unlink()
    assert "tall/bad.png cannot be used" in one_line(splitway("train-head", *arguments, "--strict"))
    assert not models.exists()
    (models / "shapes" / "1").mkdir(parents=True)
    assert "is there already" in one_line(splitway("train-head", *arguments, "--version", "1"))
    result = splitway("train-head", *arguments, "--confusion", tmp_path / "c.svg")
    assert result.returncode == 0, result.stderr
    assert "tall/bad.png" in next(line for line in result.stderr.splitlines() if line.startswith("left out"))
    assert (tmp_path / "c.svg").is_file()
    bundle = load_bundle(models / "shapes" / "2")
    assert bundle.labels == ("tall", "wide")
    assert bundle.manifest.cut.layer == "?"


@pytest.mark.parametrize("name", ["feature_extractor", "body_1", "pipeline", "gateway", "source", "Digits", "1st", ""])
def test_a_name_that_is_taken_or_none_is_refused(two_classes: Path, name: str) -> None:
    assert "is not a valid name for a head" in one_line(splitway("train-head", "--images", two_classes, "--name", name))


def test_pictures_that_are_too_few_are_refused(two_classes: Path, tmp_path: Path) -> None:
    def said(images: Path) -> str:
        return one_line(splitway("train-head", "--images", images, "--name", "shapes", cwd=tmp_path))

    assert "there is no folder" in said(tmp_path / "none")
    for file in sorted((two_classes / "tall").iterdir())[1:]:
        file.unlink()
    assert "at least 2 are needed" in said(two_classes)
    shutil.rmtree(two_classes / "tall")
    assert "two classes or more" in said(two_classes)


def test_an_extractor_that_is_not_there_is_one_line(two_classes: Path, tmp_path: Path) -> None:
    arguments = ("--images", two_classes, "--name", "shapes")
    assert "no pipeline runs from this folder" in one_line(splitway("train-head", *arguments, cwd=tmp_path))
    nobody = ("--extractor", "http://127.0.0.1:9")
    assert "no feature_extractor answers" in one_line(splitway("train-head", *arguments, *nobody, cwd=tmp_path))


def test_ctrl_c_leaves_nothing(digits: Path, extractor_url: str, tmp_path: Path) -> None:
    models = tmp_path / "new"
    arguments = ["--images", digits, "--name", "digits", "--models", models, "--extractor", extractor_url]
    running = subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "train-head", *map(str, arguments)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    assert any("extracting" in line for line in running.stderr)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    rest = running.communicate(timeout=30)[1]
    assert running.returncode != 0
    assert "Traceback" not in rest
    assert [path.name for path in tmp_path.iterdir()] == []


def test_features_of_the_bundles_in_process_are_those_of_the_running_extractor(
    extractor_url: str, models: Path, two_classes: Path
) -> None:
    files = sorted(two_classes.rglob("*.png"))
    files[0].write_bytes(b"no picture")
    with Steps() as steps:
        served = extract([Hop("feature_extractor", extractor_url)], files, steps)
        local = extract_in_process(find_chain(models), files, steps)
    assert (local.files, local.origin) == (served.files, served.origin)
    assert list(local.unread) == list(served.unread) == [files[0]]
    assert local.features["features"].tobytes() == served.features["features"].tobytes()


def test_with_no_server_a_head_is_trained_on_the_folders_own_extractor(own_models: Path, two_classes: Path) -> None:
    result = splitway(
        "train-head",
        "--in-process",
        "--images",
        two_classes,
        "--name",
        "shape",
        "--models",
        own_models,
        cwd=two_classes,
    )
    assert result.returncode == 0, result.stderr
    (file, *_) = (two_classes / "wide").glob("*.png")
    (answer,) = classify_in_process([file], own_models, ["shape"], 1)
    assert (answer.reply or {})["heads"]["shape"]["label"] == "wide"
    refused = splitway("train-head", "--in-process", "--extractor", "http://x", "--images", ".", "--name", "shape")
    assert "--in-process asks no extractor" in one_line(refused)
