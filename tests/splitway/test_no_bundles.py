"""A folder of bundles that is none: what is said of it, and which one is named in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.no_bundles import advice, no_bundles

SPLIT = "splitway split MODEL --out"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with bundles, pictures and an empty folder; it is the current folder."""
    (tmp_path / "mine" / "bundles" / "classifier" / "1").mkdir(parents=True)
    (tmp_path / "mine" / "bundles" / "classifier" / "1" / "stage.json").touch()
    (tmp_path / "mine" / "shots").mkdir()
    (tmp_path / "mine" / "shots" / "a.jpg").touch()
    (tmp_path / "mine" / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return Path("mine")


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("bundels", "there is no folder mine/bundels; did you mean mine/bundles?"),
        ("shot", "there is no folder mine/shot: name one with bundles"),
        ("bundles/classifier", "is the folder of one stage: give the folder above, mine/bundles"),
        ("bundles/classifier/1", "is one bundle: give the folder of its stage's folder, mine/bundles"),
        ("../mine", "there is no bundle in mine/../mine; did you mean mine/../mine/bundles?"),
        ("shots", f"there is no bundle in mine/shots: name another folder; {SPLIT} FOLDER makes"),
        ("empty", f"there is no bundle in mine/empty; {SPLIT} mine/empty makes those of your model, splitway build"),
        ("shots/a.jpg", "mine/shots/a.jpg is a file"),
    ],
)
def test_what_was_meant_is_named_and_other_files_are_left_alone(place: Path, named: str, says: str) -> None:
    assert says in no_bundles(place / named).detail


def test_from_inside_a_stage_the_folder_above_has_its_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "bundles" / "classifier")
    assert str(advice(Path()) or "").endswith("/mine/bundles")


def test_a_folder_with_bundles_needs_no_advice(place: Path) -> None:
    assert advice(place / "bundles") is None
