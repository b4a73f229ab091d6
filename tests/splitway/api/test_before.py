"""Mistakes that are told before anything is loaded: what is said, and that nothing heavy was imported to say it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splitway.api.before import SplitPlan, check_out, check_split
from splitway.errors import BundleError, ModelError, SetupError, SplitwayError
from splitway.splitter.readers.description import classes_of, layer_names

HEAVY = ("numpy", "keras", "tensorflow", "h5py")
MISTAKES: dict[str, list[str]] = {
    "there is no file none.keras": ["split", "none.keras"],
    "it is text and no model": ["split", "text.keras"],
    "cannot be loaded: no SavedModel": ["split", "empty"],
    "legacy HDF5 format": ["split", "old.h5"],
    "--range must be LOW:HIGH": ["split", "m.keras", "--range", "wide"],
    "--version must be a whole number": ["split", "m.keras", "--version", "0"],
    "is not a valid name for a head": ["split", "m.keras", "--head", "Main"],
    "--size must be": ["split", "m.keras", "--size", "big"],
    "no layer 'poll'; did you mean 'pool'?": ["split", "m.keras", "--at", "poll"],
    "2 labels for the model's 3 classes: one a line": ["split", "m.keras", "--labels", "two.txt"],
    "cannot read the labels none.txt": ["split", "m.keras", "--labels", "none.txt"],
    "cannot read the labels a,b,c: No such file or directory; --labels takes a file with": [
        "split",
        "m.keras",
        "--labels",
        "a,b,c",
    ],
    "line 2 of the labels gap.txt is not one line of text": ["split", "m.keras", "--labels", "gap.txt"],
    "--threshold has no effect: with --softmax": ["split", "m.keras", "--softmax", "--threshold", "0.4"],
    "there is no folder of samples at none": ["split", "m.keras", "--samples", "none"],
    "made of another model: cats, SHA-256 aaaaaaaaaaaa..., at 2026-01-02": ["split", "m.keras"],
    "text.keras is no folder": ["split", "m.keras", "--out", "text.keras/models"],
    "it is text and no model:": ["inspect", "text.keras"],
    "elsewhere is no folder": ["inspect", "m.keras", "--plot", "elsewhere/cuts.svg"],
    "there is no bundle in empty": ["verify", "empty"],
    "no folder of samples at none, and": ["build", "--samples", "none", "--out", "fresh"],
    "there is no folder none: --images": ["train-head", "--images", "none", "--name", "mine"],
    "there is no folder nowhere: name one with bundles, which splitway": [
        "up",
        "--models",
        "nowhere",
    ],
    "there is no file none.jpg": ["demo", "none.jpg"],
}
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


def _layer(name: str, kind: str = "Conv2D", takes: str | None = None, **config: Any) -> dict[str, Any]:
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [takes, 0, 0]}}
    nodes = [{"args": [tensor], "kwargs": {}}] if takes else []
    named = {"name": name, **config}
    return {"module": "keras.layers", "class_name": kind, "name": name, "config": named, "inbound_nodes": nodes}


LAYERS = [
    _layer("pixels", "InputLayer"),
    _layer("conv", takes="pixels"),
    _layer("pool", "GlobalAveragePooling2D", "conv"),
    _layer("top", "Dense", "pool", units=3),
    _layer("shares", "Softmax", "top"),
]


def _functional(layers: list[dict[str, Any]], ends: object, **more: Any) -> dict[str, Any]:
    config = {"name": "m", "layers": layers, "input_layers": ["pixels", 0, 0], "output_layers": ends}
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": config, **more}


def _write(path: Path, description: dict[str, Any], weights: int = 1000) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(description))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", bytes(weights))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which each of the mistakes can be made."""
    _write(tmp_path / "m.keras", _functional(LAYERS, ["shares", 0, 0]))
    (tmp_path / "text.keras").write_text("a model, one would think\n")
    (tmp_path / "old.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "gap.txt").write_text("a\n\nc\n\n")
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "empty").mkdir()
    _bundle(tmp_path / "models", "cats", "a" * 64)
    return tmp_path


def _bundle(models: Path, name: str, sha256: str) -> None:
    place = models / "feature_extractor" / "1"
    place.mkdir(parents=True)
    source = {"name": name, "sha256": sha256}
    (place / "stage.json").write_text(json.dumps({"source_model": source, "created": "2026-01-02T03:04:05+00:00"}))


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
    _bundle(folder / "again", "m", sha256)
    plan = SplitPlan(folder / "m.keras", folder / "again", at=["pool"], labels=["a", "b", "c"])
    with pytest.raises(BundleError, match=r"use --force to replace it, or --version for another \(made of m at 2026"):
        check_split(plan)
    check_split(SplitPlan(folder / "m.keras", folder / "again", force=True))
    check_split(SplitPlan(folder / "m.keras", folder / "again", version="2"))


@pytest.mark.parametrize(("compiled", "needed"), [({}, 30), ({"compile_config": {"optimizer": "Adam"}}, 17)])
def test_a_disk_without_room_is_told_in_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: dict[str, Any], needed: int
) -> None:
    model = _write(tmp_path / "m.keras", _functional(LAYERS, ["shares", 0, 0], **compiled), 10_000_000)
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
        lambda layers: layers.append({**_layer("mine", "Mine"), "module": "my.layers"}),
        lambda layers: layers.append(_layer("attend", "MultiHeadAttention")),
    ],
    ids=["class-of-ones-own", "layers-inside"],
)
def test_layers_that_cannot_be_known_are_left_to_keras(change: Callable[[list[Any]], None]) -> None:
    layers = list(LAYERS)
    change(layers)
    assert layer_names(_functional(layers, ["shares", 0, 0])) is None


def test_layers_in_nested_models_and_wrappers_have_names_too() -> None:
    nested = {**_functional(LAYERS, ["shares", 0, 0]), "name": "backbone"}
    wrapped = _layer("both", "Bidirectional", layer=_layer("inner", "LSTM"))
    named = layer_names(_functional([nested, wrapped], ["both", 0, 0])) or []
    assert {"m", "conv", "both", "inner"} <= set(named)


@pytest.mark.parametrize(
    ("description", "classes"),
    [
        (_functional(LAYERS, ["shares", 0, 0]), 3),
        (_functional(LAYERS, [["top", 0, 0], ["shares", 0, 0]]), None),
        (_functional(LAYERS, {"a": ["top", 0, 0]}), None),
        (_functional(LAYERS, ["pool", 0, 0]), None),
        ({"class_name": "Sequential", "config": {"layers": [*LAYERS[:4], _layer("act", "Activation")]}}, 3),
        ({"class_name": "Sequential", "config": {"layers": [_functional(LAYERS, ["top", 0, 0])]}}, 3),
        (_functional([_layer("loop", "Softmax", "loop")], ["loop", 0, 0]), None),
        (_functional([_layer("top", "Dense", units="many")], ["top", 0, 0]), None),
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
