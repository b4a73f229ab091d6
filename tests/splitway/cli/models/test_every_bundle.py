"""Every bundle of a folder is checked, with a line for each, and whatever is wrong ends the command with 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.api.source import SourceOptions
from splitway.cli.models.build import verify
from splitway.cli.models.every_bundle import check_every
from splitway.errors import BundleError
from tests.tiny_bundles import damage, write_bundle


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """An extractor, a body, two versions of the default head, and another head."""
    write_bundle(tmp_path, "feature_extractor", 1, "extractor")
    write_bundle(tmp_path, "body_1", 1, "body")
    for name, version in (("classifier", 1), ("classifier", 2), ("pets", 1)):
        write_bundle(tmp_path, name, version)
    return tmp_path


def test_each_version_of_each_bundle_has_a_line(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_every(models, None)
    every = ("body_1/1", "classifier/2", "classifier/1", "feature_extractor/1", "pets/1")
    assert capsys.readouterr().out.splitlines() == [f"{models}/{name}  1 files as its manifest says" for name in every]


@pytest.mark.parametrize("name", ["pets/1", "body_1/1", "classifier/1"])
def test_verify_names_any_that_is_damaged_before_it_proves(
    models: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(models / name)
    with pytest.raises(BundleError, match=rf"{name} is wrong, the first of 1 among 5 bundles"):
        verify(models, None, None, SourceOptions(), say=lambda _: None)
    said = [line for line in capsys.readouterr().out.splitlines() if "WRONG" in line]
    assert [line.startswith(f"{models}/{name}  WRONG: {models}/{name}/model.tflite is corrupted") for line in said] == [
        True
    ]


def test_a_version_that_is_named_is_checked_alone(models: Path) -> None:
    damage(models / "pets" / "1")
    check_every(models, "2")
    with pytest.raises(BundleError, match="has no bundle of version 9, only of 1, 2"):
        check_every(models, "9")
