"""The overlay for bundles of one's own: a folder of this machine is served, and what is made in it later, too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from samples.digits import write_digits
from testkit.support import free_port, splitway, until
from tests.compose.composed import Compose, Project, require_docker

require_docker()
pytestmark = pytest.mark.docker
_JPEG = {"content-type": "image/jpeg"}
_PER_CLASS = 12


class Own(Project):
    """A second checkout's project, beside the first one's, over a folder of its own."""

    def __init__(self, models: Path) -> None:
        self.models, port = models, free_port()
        self._url = f"http://127.0.0.1:{port}/v1/classify"
        super().__init__("own", "own-models.yaml", SPLITWAY_MODELS=str(models), SPLITWAY_PORT=str(port))

    def classify(self, picture: bytes, heads: str = "classifier") -> httpx.Response:
        return httpx.post(f"{self._url}?heads={heads}", content=picture, headers=_JPEG, timeout=10, trust_env=False)


@pytest.fixture(scope="module")
def own(compose: Compose, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:  # noqa: ARG001 - it has built the images
    folder = tmp_path_factory.mktemp("own") / "flowers"
    for name in ("feature_extractor", "classifier"):
        shutil.copytree(models / name / "1", folder / name / "1")
    project = Own(folder)
    try:
        started = project("up", "--detach", "--wait")
        assert started.returncode == 0, started.stderr + project("logs", "models").stdout
        yield project
    finally:
        project.end()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder, _PER_CLASS)
    return folder


def test_a_folder_of_bundles_is_served_beside_the_other_checkout(own: Own, compose: Compose, cat: bytes) -> None:
    ours = own.classify(cat).json()["heads"]["classifier"]["predictions"]
    assert ours == compose.classify(cat).json()["predictions"]
    assert own("ps", "--all", "--format", "{{.Image}}", "models").stdout.strip().endswith("/classifier")


def test_a_head_that_is_trained_beside_the_containers_is_served_by_them(own: Own, digits: Path, cat: bytes) -> None:
    where = ("--models", own.models, "--images", digits, "--confusion", own.models.parent / "confusion.svg")
    trained = splitway("train-head", "--in-process", "--name", "digits", *where)
    assert trained.returncode == 0, trained.stderr
    until(lambda: own.classify(cat, "classifier,digits").status_code == 200, 10)


def test_a_head_can_be_trained_in_a_container_and_belongs_to_its_user(own: Own, digits: Path, cat: bytes) -> None:
    user = ("--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{digits}:/pictures:ro")
    trained = own("run", "--rm", *user, "train-head", "--name", "numerals")
    assert trained.returncode == 0, trained.stderr
    assert (own.models / "numerals" / "1" / "stage.json").stat().st_uid == os.getuid()
    until(lambda: own.classify(cat, "numerals").status_code == 200, 10)


def test_a_release_that_is_made_in_the_folder_is_followed(own: Own, cat: bytes) -> None:
    for step in (("create", "spring", "--head", "classifier=1"), ("promote", "spring")):
        made = splitway("release", *step, "--models", own.models)
        assert made.returncode == 0, made.stderr
    until(lambda: own.classify(cat).json()["model"].get("release") == "spring", 10)


def test_a_damaged_bundle_keeps_all_from_starting(own: Own) -> None:
    label = own.models / "classifier" / "1" / "labels.txt"
    label.write_text(label.read_text().replace("Egyptian cat", "Egyptian dog"))
    looked = own("run", "--rm", "models")
    assert looked.returncode == 1
    assert "labels.txt is corrupted" in looked.stdout


def test_without_a_folder_nothing_starts_and_the_setting_is_named() -> None:
    assert "SPLITWAY_MODELS" in Project("none", "own-models.yaml", SPLITWAY_MODELS="")("config").stderr
