"""Write the parts of a cut model as bundles."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from splitway.bundle import sha256_file, write_manifest
from splitway.errors import ModelError
from splitway.manifest import Appended, Cut, EngineFile, EngineName, Manifest, Preprocessing, Rows, SourceModel
from splitway.names import DEFAULT_HEAD, Role, stage_names
from splitway.splitter.cut import CutModel, feature_space
from splitway.splitter.cuts import ROOM
from splitway.splitter.export import entries, export_engines
from splitway.splitter.graph import Part
from splitway.wire.room import Room

SOURCE = "source"
LABELS_FILE = "labels.txt"
_TOOLS = ("splitway", "keras", "tensorflow", "ai-edge-litert", "numpy")
Say = Callable[[str], None]


@dataclass(frozen=True)
class HeadAnswers:
    """What the numbers mean that a head gives; the manifest has it in fields of these names."""

    labels: Sequence[str] | None = None
    appended: tuple[Appended, ...] = ()
    threshold: float | None = None
    unsure_below: float | None = None

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the labels' file into a bundle's folder and return the manifest's fields."""
        fields = {"appended": self.appended, "threshold": self.threshold, "unsure_below": self.unsure_below}
        if self.labels is None:
            return fields
        path = folder / LABELS_FILE
        path.write_text("".join(f"{label}\n" for label in self.labels), encoding="utf-8")
        return {**fields, "labels": LABELS_FILE, "labels_sha256": sha256_file(path)}


@dataclass(frozen=True)
class PackPlan:
    """The facts that go into the bundles beside the model."""

    preprocessing: Preprocessing | None
    answers: HeadAnswers
    source: SourceModel
    version: str
    head: str = DEFAULT_HEAD
    """The last bundle's name."""
    room: Room = ROOM
    """Size limits of a request to the served bundles."""


def made_now() -> dict[str, Any]:
    """The manifest's entries for when a bundle was made, in UTC to the second, and by which versions of the tools."""
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"created": created, "tools": {name: version(name) for name in _TOOLS}}


def pack(cut: CutModel, plan: PackPlan, folders: list[Path], say: Say) -> None:
    """Fill an empty folder for each part with its bundle.

    Raises:
        ModelError: a part cannot be exported.
        SetupError: the files cannot be written.
    """
    cuts = len(cut.layers)
    spaces = [feature_space(cut, place, plan.preprocessing) for place in range(cuts)]
    for place, (name, part, folder) in enumerate(
        zip(stage_names(len(cut.parts), plan.head), cut.parts, folders, strict=True)
    ):
        say(f"exporting {name}")
        role: Role = "extractor" if place == 0 else "head" if place == cuts else "body"
        files, engine = _export(part, folder, name, say)
        nearest = max(0, place - 1)
        manifest = Manifest(
            name=name,
            version=plan.version,
            role=role,
            inputs=entries(part.takes, cut.graph.ranges),
            outputs=entries(part.gives),
            engine_files=files,
            engine=engine,
            feature_space=spaces[nearest],
            gives_space=spaces[place] if role == "body" else None,
            preprocessing=plan.preprocessing if role == "extractor" else None,
            source_model=plan.source,
            cut=Cut(layer=cut.layers[nearest], bytes_per_row=cut.bytes_per_row(nearest), tensors=cut.crossing[nearest]),
            **made_now(),
            **(plan.answers.write(folder) if role == "head" else {}),
        )
        write_manifest(folder, manifest.model_copy(update={"rows": _rows(manifest, plan.room)}))


def _rows(manifest: Manifest, room: Room) -> Rows:
    takes, gives = manifest.input_row_bytes, manifest.output_row_bytes
    return Rows(input_bytes=takes, output_bytes=gives, per_request=room.rows(takes, gives))


def _export(part: Part, folder: Path, name: str, say: Say) -> tuple[tuple[EngineFile, ...], EngineName]:
    """Write the files of both engines; if LiteRT cannot run the part, say so and write those of TensorFlow alone."""
    files = export_engines(part, folder, ("tensorflow",))
    try:
        return (*export_engines(part, folder, ("litert",)), *files), "litert"
    except ModelError as error:
        say(f"{name} will be served by TensorFlow: {error.detail}")
        return files, "tensorflow"
