"""Mistakes that are told before anything is loaded: what is said, and that nothing heavy was imported to say it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splitway.api.before import SplitPlan, check_out, check_split
from splitway.errors import BundleError, ModelError, SetupError, SplitwayError
from splitway.splitter.readers.description import classes_of, layer_names
from testkit.mistakes import LAYERS, MISTAKES, functional, furnish, layer, write_model, write_stage

HEAVY = ("numpy", "keras", "tensorflow", "h5py", "httpx")
RUN = """
import json, sys
from typer.testing import CliRunner
from splitway.cli.main import app
said = []
for words in json.loads(sys.argv[1]):
    ended = CliRunner().invoke(app, words)
    said.append((ended.exit_code, ended.stderr, sorted(set(sys.argv[2:]) & set(sys.modules))))
print(json.dumps(said))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which each of the mistakes can be made."""
    furnish(tmp_path)
    return tmp_path


def test_each_is_told_and_nothing_heavy_is_imported(folder: Path) -> None:
    command = [sys.executable, "-c", RUN, json.dumps(list(MISTAKES.values())), *HEAVY]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120)
    for (says, words), (code, stderr, imported) in zip(MISTAKES.items(), json.loads(ran.stdout), strict=True):
        assert says in stderr, words
        assert code == 1
        assert len(stderr.splitlines()) == 1
        assert imported == [], words


@pytest.mark.parametrize(
    ("options", "raises", "says"),
    [
        ({"at": ["pool", "tops"]}, ModelError, "did you mean 'top'"),
        ({"labels": ["a"] * 4}, ModelError, "4 labels for the model's 3 classes"),
        ({"labels": ["a", "b\nc", "d"]}, SetupError, r"label 2, 'b\\nc', is not one line"),
        ({"out": "models"}, BundleError, r"--out \S+/m, or use --force"),
    ],
    ids=["layer", "labels", "label", "taken"],
)
def test_python_is_told_the_same(folder: Path, options: dict[str, Any], raises: type[Exception], says: str) -> None:
    options["out"] = folder / options.get("out", "fresh")
    with pytest.raises(raises, match=says):
        check_split(SplitPlan(folder / "m.keras", **options))


def test_the_very_model_may_be_split_again_with_force(folder: Path) -> None:
    import hashlib

    sha256 = hashlib.sha256((folder / "m.keras").read_bytes()).hexdigest()
    write_stage(folder / "again", "m", sha256)
    plan = SplitPlan(folder / "m.keras", folder / "again", at=["pool"], labels=["a", "b", "c"])
    with pytest.raises(BundleError, match=r"use --force to replace it, or --version 2 for another \(made of m at 2026"):
        check_split(plan)
    check_split(SplitPlan(folder / "m.keras", folder / "again", force=True))
    check_split(SplitPlan(folder / "m.keras", folder / "again", version="2"))


@pytest.mark.parametrize(("compiled", "needed"), [({}, 30), ({"compile_config": {"optimizer": "Adam"}}, 17)])
def test_a_disk_without_room_is_told_in_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: dict[str, Any], needed: int
) -> None:
    model = write_model(tmp_path / "m.keras", functional(LAYERS, ["shares", 0, 0], **compiled), 10_000_000)
    free = {"bytes": needed * 1_000_000 - 1_000_000}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 0, free["bytes"]))
    with pytest.raises(SetupError, match=rf"at least {needed} MB in \S+ \(10 for a copy .* {needed - 1} MB are free"):
        check_split(SplitPlan(model, tmp_path / "out"))
    free["bytes"] += 2_000_000
    check_split(SplitPlan(model, tmp_path / "out"))


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(SetupError, match=f"cannot write {tmp_path}/new/models: Permission denied in {tmp_path}"):
        check_out(tmp_path / "new" / "models")


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers.append({**layer("mine", "Mine"), "module": "my.layers"}),
        lambda layers: layers.append(layer("attend", "MultiHeadAttention")),
    ],
    ids=["class-of-ones-own", "layers-inside"],
)
def test_layers_that_cannot_be_known_are_left_to_keras(change: Callable[[list[Any]], None]) -> None:
    layers = list(LAYERS)
    change(layers)
    assert layer_names(functional(layers, ["shares", 0, 0])) is None


def test_layers_in_nested_models_and_wrappers_have_names_too() -> None:
    nested = {**functional(LAYERS, ["shares", 0, 0]), "name": "backbone"}
    wrapped = layer("both", "Bidirectional", layer=layer("inner", "LSTM"))
    named = layer_names(functional([nested, wrapped], ["both", 0, 0])) or []
    assert {"m", "conv", "both", "inner"} <= set(named)


@pytest.mark.parametrize(
    ("description", "classes"),
    [
        (functional(LAYERS, ["shares", 0, 0]), 3),
        (functional(LAYERS, [["top", 0, 0], ["shares", 0, 0]]), None),
        (functional(LAYERS, {"a": ["top", 0, 0]}), None),
        (functional(LAYERS, ["pool", 0, 0]), None),
        ({"class_name": "Sequential", "config": {"layers": [*LAYERS[:4], layer("act", "Activation")]}}, 3),
        ({"class_name": "Sequential", "config": {"layers": [functional(LAYERS, ["top", 0, 0])]}}, 3),
        (functional([layer("loop", "Softmax", "loop")], ["loop", 0, 0]), None),
        (functional([layer("top", "Dense", units="many")], ["top", 0, 0]), None),
        ([], None),
    ],
    ids=["functional", "several", "named", "no-dense", "sequential", "nested", "circle", "damaged", "nonsense"],
)
def test_classes_are_told_where_the_last_layer_is_plain(description: Any, classes: int | None) -> None:
    assert classes_of(description) == classes


def test_what_is_no_path_is_left_to_keras(tmp_path: Path) -> None:
    check_split(SplitPlan(object(), tmp_path / "out", at=["any"], labels=["a"]))
    with pytest.raises(SplitwayError):
        check_split(SplitPlan(object(), tmp_path / "out", version="none"))
