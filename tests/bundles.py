"""Bundles that are whole but cannot be run: for what reads manifests and hashes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from splitway.bundle import engine_file_entry
from splitway.bundle import write_manifest as write
from splitway.manifest import Cut, Manifest, Preprocessing, SourceModel, TensorEntry
from splitway.names import Role

SPACES = {letter: f"fs:{letter * 16}" for letter in "abcdef"}
_PIXELS = TensorEntry(name="pixels", datatype="UINT8", shape=(-1, 8, 8, 3))
_FEATURES = TensorEntry(name="features", datatype="FP32", shape=(-1, 4))
_PROBABILITIES = TensorEntry(name="probabilities", datatype="FP32", shape=(-1, 2))
_PREPROCESSING = Preprocessing(height=8, width=8, crop=1, resample="bilinear", range=(0, 1), datatype="UINT8")
_TENSORS = {
    "extractor": ((_PIXELS,), (_FEATURES,)),
    "body": ((_FEATURES,), (_FEATURES,)),
    "head": ((_FEATURES,), (_PROBABILITIES,)),
}


def make_bundle(models: Path, name: str, version: int, role: Role, space: str, gives: str | None = None) -> Path:
    """Write a bundle of feature space `space` (a letter from a to f); a body gives another one."""
    folder = models / name / str(version)
    folder.mkdir(parents=True)
    engine = folder / "model.tflite"
    engine.write_bytes(f"{name} {version}".encode())
    inputs, outputs = _TENSORS[role]
    more: dict[str, Any] = {"preprocessing": _PREPROCESSING} if role == "extractor" else {}
    manifest = Manifest(
        name=name,
        version=str(version),
        role=role,
        inputs=inputs,
        outputs=outputs,
        engine_files=(engine_file_entry(folder, engine, "litert"),),
        feature_space=SPACES[space],
        gives_space=None if gives is None else SPACES[gives],
        source_model=SourceModel(name="model", sha256="0" * 64, path="source/model.keras"),
        cut=Cut(layer="layer", bytes_per_row=16),
        created="2026-11-24T18:00:00+00:00",
        tools={},
        **more,
    )
    write(folder, manifest)
    return folder
