"""Write the two halves of a cut model as bundles."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from splitway.bundle import (
    FEATURES,
    PIXELS,
    PROBABILITIES,
    Cut,
    Manifest,
    Preprocessing,
    SourceModel,
    TensorEntry,
    sha256_file,
    write_manifest,
)
from splitway.errors import ModelError
from splitway.split.cut import CutModel, feature_space
from splitway.split.export import export_engines

EXTRACTOR = "feature_extractor"
HEAD = "classifier"
SOURCE = "source"
SOURCE_FILE = "model.keras"
LABELS_FILE = "labels.txt"
_TOOLS = ("splitway", "keras", "tensorflow", "ai-edge-litert", "numpy")
Say = Callable[[str], None]


@dataclass(frozen=True)
class PackPlan:
    """What the bundles need to know beyond the model itself."""

    preprocessing: Preprocessing
    labels: list[str] | None
    source: SourceModel
    version: str


def pack(cut: CutModel, plan: PackPlan, extractor: Path, head: Path, say: Say) -> tuple[Manifest, Manifest]:
    """Fill two empty folders with the extractor's and the head's bundle.

    Raises:
        ModelError: the model cannot be converted, or the labels do not fit it.
    """
    if plan.labels is not None and len(plan.labels) != cut.classes:
        raise ModelError(f"there are {len(plan.labels)} labels for the model's {cut.classes} classes")
    preprocessing = plan.preprocessing
    pixels = TensorEntry(
        name=PIXELS, datatype=preprocessing.datatype, shape=(-1, preprocessing.height, preprocessing.width, 3)
    )
    features = TensorEntry(name=FEATURES, datatype="FP32", shape=(-1, *cut.feature_shape))
    probabilities = TensorEntry(name=PROBABILITIES, datatype="FP32", shape=(-1, cut.classes))
    common: dict[str, Any] = {
        "version": plan.version,
        "feature_space": feature_space(cut, preprocessing),
        "source_model": plan.source,
        "cut": Cut(layer=cut.layer, bytes_per_row=cut.bytes_per_row),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "tools": {name: version(name) for name in _TOOLS},
    }
    say("exporting the backbone")
    extractor_manifest = Manifest(
        name=EXTRACTOR,
        role="extractor",
        inputs=(pixels,),
        outputs=(features,),
        engine_files=export_engines(cut.backbone, extractor, PIXELS, FEATURES),
        preprocessing=preprocessing,
        **common,
    )
    say("exporting the head")
    head_manifest = Manifest(
        name=HEAD,
        role="head",
        inputs=(features,),
        outputs=(probabilities,),
        engine_files=export_engines(cut.head, head, FEATURES, PROBABILITIES),
        **_labels(plan.labels, head),
        **common,
    )
    write_manifest(extractor, extractor_manifest)
    write_manifest(head, head_manifest)
    return extractor_manifest, head_manifest


def _labels(labels: list[str] | None, folder: Path) -> dict[str, Any]:
    if labels is None:
        return {}
    path = folder / LABELS_FILE
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    return {"labels": LABELS_FILE, "labels_sha256": sha256_file(path)}
