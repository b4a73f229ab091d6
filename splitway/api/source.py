"""Reads the user's model; the hash of its file is shown first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras

from splitway.api.given import Given
from splitway.errors import ModelError, SetupError
from splitway.manifest import SourceModel
from splitway.splitter.pack import Say
from splitway.splitter.readers.loaded import DEFAULT_PICTURE_SIZE, LoadedModel, of_keras
from splitway.splitter.readers.source import fingerprint, load_model


def quiet(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class SourceOptions:
    """The user's options for reading a model."""

    allow_legacy: bool = False
    custom_objects: str | None = None
    """Modules with the model's own classes, separated by commas."""
    picture_size: tuple[int, int] = DEFAULT_PICTURE_SIZE
    """Height and width, for a model that takes pictures of any."""
    given: Given = field(default_factory=Given)
    """The options that the user named."""
    pictures: Path | None = None
    """Samples to prove a model of pictures on, where none are named."""
    note: Say = quiet
    """Called with the file's SHA-256, and with remarks on how the model was read."""


def source_options(
    allow_legacy: bool, custom_objects: str | Sequence[str], size: tuple[int, int] | None, note: Say, *given: str
) -> SourceOptions:
    """Make options from arguments of the Python API. `given` names further arguments that the caller has set."""
    modules = custom_objects if isinstance(custom_objects, str) else ",".join(custom_objects)
    named = [name for name, value in (("size", size), ("custom_objects", modules)) if value]
    return SourceOptions(
        allow_legacy,
        modules or None,
        DEFAULT_PICTURE_SIZE if size is None else size,
        Given({name: name for name in (*named, *given)}),
        note=note,
    )


def load_and_show(model: Path | keras.Model, options: SourceOptions, say: Say) -> LoadedModel:
    """Read a model; of one in a file or folder the SHA-256 is shown first.

    Raises:
        ModelError: it cannot be read, or is no model.
        SetupError: an option changes nothing, or Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise SetupError(
            f"Keras runs on {keras.backend.backend()} here: set KERAS_BACKEND=tensorflow before Keras is imported"
        )
    loaded, needs_no_classes = _load(model, options, say)
    if not loaded.takes_any_size:
        named = model if isinstance(model, Path) else loaded.name
        shapes = ", ".join(f"{name} {wire.shape}" for name, wire in loaded.graph.inputs.items())
        options.given.refuse("size", because=f"{named} takes {shapes} and nothing else")
    if needs_no_classes:
        options.given.refuse("custom_objects", because=needs_no_classes)
    for note in loaded.notes:
        options.note(f"{model}: {note}")
    return loaded


def _load(model: Path | keras.Model, options: SourceOptions, say: Say) -> tuple[LoadedModel, str | None]:
    """A model, and why it needs no classes of its own where that is so."""
    size = options.picture_size
    if isinstance(model, keras.Model):
        return of_keras(model, model.name, picture_size=size), "a model in memory has its classes"
    if not isinstance(model, Path):
        raise ModelError(f"a model is a path or a Keras model, not {type(model).__name__}")
    if model.exists():
        options.note(f"{model}: SHA-256 {fingerprint(model)}")
    say(f"loading {model}")
    allowed, modules = options.allow_legacy, options.custom_objects
    loaded = load_model(model, allow_legacy=allowed, custom_objects=modules, picture_size=size)
    return loaded, f"the SavedModel {model} needs no classes" if model.is_dir() else None


def keep_source(model: LoadedModel, folder: Path, place: Path, models: Path) -> SourceModel:
    """Keep an uncut model beside the bundles: `splitway verify` needs it.

    It is written into `folder`, which will be `place`; the manifest's path is relative to `models`. Raises SetupError.
    """
    try:
        copy = model.keep(folder)
    except OSError as error:
        raise SetupError(f"cannot write a copy of the model into {folder}: {error.strerror or error}") from error
    path = (place / copy.name).relative_to(models).as_posix()
    return SourceModel(name=model.name, sha256=fingerprint(copy), path=path)
