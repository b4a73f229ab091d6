"""What is tried first is a picture that the model has a label for, or the user's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from splitway.cli.launched.banner import banner
from splitway.local.launch import LaunchPlan


@pytest.mark.parametrize(("label", "picture"), [("Egyptian cat", "samples/cat.jpg"), ("circle", "PICTURE.jpg")])
def test_the_first_command_is_for_what_the_model_knows(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, picture: str
) -> None:
    for stage in ("feature_extractor", "classifier"):
        (tmp_path / stage / "1").mkdir(parents=True)
        shutil.copy(models / stage / "1" / "stage.json", tmp_path / stage / "1")
    (tmp_path / "classifier" / "1" / "labels.txt").write_text(f"other\n{label}\n")
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "cat.jpg").touch()
    monkeypatch.chdir(tmp_path)
    pipeline: Any = SimpleNamespace(gateway=SimpleNamespace(url="http://127.0.0.1:4711"))
    assert f"  try   splitway classify {picture}" in banner(LaunchPlan(tmp_path), pipeline, None, 1.0)
