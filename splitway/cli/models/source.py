"""A model that the user names: its hash is shown before anything in it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from splitway.cli.console import ERR
from splitway.cli.given import Given
from splitway.errors import SetupError
from splitway.manifest import SourceModel
from splitway.splitter.readers.loaded import DEFAULT_PICTURE_SIZE, LoadedModel
from splitway.splitter.readers.source import fingerprint, load_model


@dataclass(frozen=True)
class SourceOptions:
    """What the user allows while a model is read."""

    allow_legacy: bool = False
    custom_objects: str | None = None
    """Modules with the model's own classes, separated by commas."""
    picture_size: tuple[int, int] = DEFAULT_PICTURE_SIZE
    """Height and width, for a model that takes pictures of any."""
    given: Given = field(default_factory=Given)
    """The options that the user typed."""
    pictures: Path | None = None
    """Samples to verify a model of pictures on, where none are named."""


def load_and_show(path: Path, options: SourceOptions, say: Callable[[str], None]) -> LoadedModel:
    """Show the SHA-256 of a file, or of a folder's files, then load it. Raises ModelError."""
    if path.exists():
        ERR.print(f"{path}: SHA-256 {fingerprint(path)}", markup=False)
    say(f"loading {path}")
    model = load_model(
        path,
        allow_legacy=options.allow_legacy,
        custom_objects=options.custom_objects,
        picture_size=options.picture_size,
    )
    _refuse_without_effect(path, options, model)
    for note in model.notes:
        ERR.print(f"{path}: {note}", markup=False)
    return model


def _refuse_without_effect(path: Path, options: SourceOptions, model: LoadedModel) -> None:
    """Raise SetupError for an option that changes nothing."""
    if not model.takes_any_size:
        shapes = ", ".join(f"{name} {wire.shape}" for name, wire in model.graph.inputs.items())
        options.given.refuse("size", because=f"{path} takes {shapes} and nothing else")
    if path.is_dir():
        options.given.refuse("custom_objects", because=f"the SavedModel {path} needs no classes")


def joined(modules: list[str] | None) -> str | None:
    """Modules as one text, separated by commas; None without any."""
    return ",".join(modules) if modules else None


def keep_source(model: LoadedModel, folder: Path, place: Path, models: Path) -> SourceModel:
    """Keep an uncut model beside the bundles: `splitway verify` needs it.

    Args:
        model: what to keep.
        folder: where the copy is written now.
        place: where that folder will be.
        models: what the manifest's path is relative to.

    Raises:
        SetupError: it cannot be written.
    """
    try:
        copy = model.keep(folder)
    except OSError as error:
        raise SetupError(f"cannot write a copy of the model into {folder}: {error.strerror or error}") from error
    path = (place / copy.name).relative_to(models).as_posix()
    return SourceModel(name=model.name, sha256=fingerprint(copy), path=path)


def parse_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH, or one number for both. Raises SetupError."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 0 < int(part) <= 4096 for part in parts):
        raise SetupError(f"--size must be HEIGHTxWIDTH in pixels, such as 224x224, not {text!r}")
    return int(parts[0]), int(parts[-1])
