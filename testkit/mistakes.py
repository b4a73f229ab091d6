"""Mistakes on the command line: what is said of each, and the folder in which all of them can be made."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

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
    "there is no folder nowhere: name one with bundles, which splitway": ["up", "--models", "nowhere"],
    "there is no file none.jpg": ["demo", "none.jpg"],
    "none.jpg: cannot be read: No such file or directory": ["classify", "none.jpg"],
}
"""What is said, and the words that are typed."""


def layer(name: str, kind: str = "Conv2D", takes: str | None = None, **config: Any) -> dict[str, Any]:
    """The description of a layer; `takes` names the one before it."""
    tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [takes, 0, 0]}}
    nodes = [{"args": [tensor], "kwargs": {}}] if takes else []
    named = {"name": name, **config}
    return {"module": "keras.layers", "class_name": kind, "name": name, "config": named, "inbound_nodes": nodes}


LAYERS = [
    layer("pixels", "InputLayer"),
    layer("conv", takes="pixels"),
    layer("pool", "GlobalAveragePooling2D", "conv"),
    layer("top", "Dense", "pool", units=3),
    layer("shares", "Softmax", "top"),
]


def functional(layers: list[dict[str, Any]], ends: object, **more: Any) -> dict[str, Any]:
    """The description of a functional model of these layers."""
    config = {"name": "m", "layers": layers, "input_layers": ["pixels", 0, 0], "output_layers": ends}
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": config, **more}


def write_model(path: Path, description: dict[str, Any], weights: int = 1000) -> Path:
    """Write a `.keras` file of a description and as many bytes in place of weights."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(description))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", bytes(weights))
    return path


def write_stage(models: Path, name: str, sha256: str) -> None:
    """Write as much of an extractor's manifest as tells which model it was made of."""
    place = models / "feature_extractor" / "1"
    place.mkdir(parents=True)
    source = {"name": name, "sha256": sha256}
    (place / "stage.json").write_text(json.dumps({"source_model": source, "created": "2026-01-02T03:04:05+00:00"}))


def furnish(folder: Path) -> None:
    """Make what the commands stumble over: a model's description, other files, labels and another model's bundle."""
    write_model(folder / "m.keras", functional(LAYERS, ["shares", 0, 0]))
    (folder / "text.keras").write_text("a model, one would think\n")
    (folder / "old.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (folder / "two.txt").write_text("a\nb\n")
    (folder / "gap.txt").write_text("a\n\nc\n\n")
    (folder / "elsewhere").write_text("")
    (folder / "empty").mkdir()
    write_stage(folder / "models", "cats", "a" * 64)
