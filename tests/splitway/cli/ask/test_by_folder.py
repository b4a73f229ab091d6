"""Pictures in folders that have labels' names are counted, by head."""

from __future__ import annotations

from pathlib import Path

from splitway.cli.ask.by_folder import as_folders_say
from splitway.cli.ask.classify import PictureResult


def _result(file: Path, **heads: tuple[str, ...]) -> PictureResult:
    classes = {head: [{"label": label, "confidence": 0.5} for label in labels] for head, labels in heads.items()}
    said = {head: {"status": 200, "predictions": each} for head, each in classes.items()}
    return PictureResult.of(file, {"heads": said, "timings_ms": {}})


def test_those_are_counted_that_are_classified_as_their_folder_says(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
    cats, dogs = ("cats", "dogs"), ("dogs", "cats")
    results = [
        _result(tmp_path / "cats" / "a.jpg", pets=cats, imagenet=("tabby",)),
        _result(tmp_path / "cats" / "old" / "b.jpg", pets=dogs, imagenet=("cats",)),
        _result(tmp_path / "dogs" / "c.jpg", pets=dogs, imagenet=("tabby",)),
        PictureResult(tmp_path / "dogs" / "d.jpg", error="cannot be read"),
        _result(Path("alone.jpg"), pets=cats),
    ]
    assert list(as_folders_say(results, [tmp_path, Path("alone.jpg")])) == ["pets: 2 of 3 as their folder says"]
    assert list(as_folders_say(results[:1], [tmp_path / "cats"])) == ["pets: 1 of 1 as their folder says"]
