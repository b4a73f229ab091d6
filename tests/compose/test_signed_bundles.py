"""The overlay for signed bundles: what is signed is served, and nothing starts on what is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitway.cli.models.bundles import sign
from splitway.security.signing import public_path
from tests.compose.composed import Project, require_docker

require_docker()
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("compose")]


class Signed(Project):
    """A project of its own, over a folder of bundles on this machine."""

    def __init__(self, models: Path, key: Path) -> None:
        super().__init__("signed", "signed.yaml", SPLITWAY_MODELS=str(models), SPLITWAY_BUNDLE_KEY=str(key))
        self.models = models


@pytest.fixture
def signed(models: Path, tmp_path: Path) -> Iterator[Signed]:
    folder = tmp_path / "models"
    for name in ("feature_extractor", "classifier"):
        shutil.copytree(models / name, folder / name)
    sign(folder, tmp_path / "release.pem", (), new_key=True)
    project = Signed(folder, public_path(tmp_path / "release.pem"))
    try:
        yield project
    finally:
        project.end()


def test_what_is_signed_is_served_and_what_is_not_keeps_all_from_starting(signed: Signed) -> None:
    started = signed("up", "--detach", "--wait", "classifier")
    assert started.returncode == 0, started.stderr
    assert signed("down", "--timeout", "10").returncode == 0
    label = signed.models / "classifier" / "1" / "labels.txt"
    label.write_text(label.read_text().replace("Egyptian cat", "Egyptian dog"))
    refused = signed("up", "--detach", "--wait", "classifier")
    assert refused.returncode != 0
    assert "labels.txt is corrupted" in signed("logs", "models").stdout
    assert signed("ps", "--quiet", "classifier").stdout == ""


def test_a_stage_refuses_by_itself_what_nobody_has_signed(signed: Signed) -> None:
    (signed.models / "classifier" / "1" / "stage.json.sig").unlink()
    assert signed("run", "--rm", "secrets").returncode == 0
    ended = signed("run", "--rm", "--no-deps", "classifier")
    assert ended.returncode == 1
    assert "it is not signed" in ended.stdout + ended.stderr
