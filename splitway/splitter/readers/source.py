"""A model as its author saved it: read without running code from it, and kept for later proofs."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from splitway.bundle import sha256_file
from splitway.errors import ModelError
from splitway.splitter.readers.description import H5, KERAS, kind_of, read_description
from splitway.splitter.readers.file_kinds import keras_version
from splitway.splitter.readers.foreign import reason_of
from splitway.splitter.readers.loaded import DEFAULT_PICTURE_SIZE, KEPT, LoadedModel, of_keras
from splitway.splitter.readers.saved_model import load_saved_model


def load_model(
    path: Path,
    *,
    allow_legacy: bool = False,
    custom_objects: str | None = None,
    picture_size: tuple[int, int] = DEFAULT_PICTURE_SIZE,
) -> LoadedModel:
    """Read a `.keras` file, a SavedModel's folder or, where that is allowed, an HDF5 file.

    Args:
        path: what `model.save` or `model.export` wrote.
        allow_legacy: take `.h5` too, a format from before Keras could be kept from running what it holds.
        custom_objects: modules (by dotted name or path, separated by commas) with the model's own classes.
        picture_size: height and width for a model that takes pictures of any.

    Raises:
        ModelError: there is nothing there, it is something else, damaged, or holds what cannot be loaded safely.
    """
    if path.is_dir():
        return load_saved_model(path)
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    path_kind = kind_of(path, allow_legacy=allow_legacy)
    read_description(path, path_kind)
    known = _objects_of(custom_objects)
    try:
        model = _loaded(path, path_kind, known)
    except ModelError:
        raise
    except Exception as error:  # a damaged or foreign archive raises what its readers stumble over
        raise ModelError(f"{path} cannot be loaded: {_why(error, path)}") from error

    def keep(folder: Path) -> Path:
        return Path(shutil.copyfile(path, folder / f"{KEPT}{path_kind}"))

    return of_keras(model, path.stem, keep, picture_size)


def _loaded(path: Path, kind: str, known: dict[str, Any]) -> keras.Model:
    """A model in memory, with all that its layers keep beside their weights."""
    with _under_its_suffix(path, kind) as named:
        model = keras.saving.load_model(named, compile=False, safe_mode=True, custom_objects=known)
    if kind == KERAS:
        return model
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):  # Keras puts its weights back, but goes on with the old ones
            layer.finalize_state()
        if hasattr(layer, "get_vocabulary") and layer.get_config().get("vocabulary", ()) is None:
            raise ModelError(
                f"{path} has no vocabulary for its layer {layer.name!r}: the legacy HDF5 format does not keep what a "
                "layer was adapted to; save the model again with model.save('name.keras')"
            )
    return model


@contextmanager
def _under_its_suffix(path: Path, kind: str) -> Iterator[Path]:
    """A file under a name that ends as Keras wants it, for what is in it."""
    if path.suffix == kind or (kind in H5 and path.suffix in H5):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="splitway-") as folder:
        link = Path(folder) / f"{KEPT}{kind}"
        link.symlink_to(path.resolve())
        yield link


def fingerprint(path: Path) -> str:
    """The SHA-256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _objects_of(modules: str | None) -> dict[str, Any]:
    """The classes and functions in the namespaces of the user's own modules, separated by commas.

    Classes that a module imports from Keras or another library are found by Keras.
    """
    found: dict[str, Any] = {}
    for module in filter(None, (each.strip() for each in (modules or "").split(","))):
        loaded = _import(module)
        found |= {name: value for name, value in vars(loaded).items() if _is_own(value, loaded.__name__)}
    return found


def _is_own(value: Any, module: str) -> bool:
    """Whether an object comes from a module or its package, or is the class of a layer from outside Keras."""
    if not callable(value):
        return False
    home = str(getattr(value, "__module__", None))
    if home.partition(".")[0] == module.partition(".")[0]:
        return True
    return isinstance(value, type) and issubclass(value, keras.layers.Layer) and not home.startswith("keras.")


def _import(module: str) -> ModuleType:
    path = Path(module)
    try:
        if path.suffix != ".py":
            return importlib.import_module(module)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None, "a path that ends in .py has a loader"
        assert spec.loader is not None, "a path that ends in .py has a loader"
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = loaded
        spec.loader.exec_module(loaded)
    except Exception as error:  # the user's own code may raise anything
        raise ModelError(f"the module {module} with the model's own classes cannot be imported: {error}") from error
    return loaded


def _why(error: Exception, path: Path) -> str:
    """A loader's complaint in one line, with what to do where it misses a class."""
    version = keras_version(path)
    missing = re.search(r"Could not locate (?:class|function) '([^']*)'|Unknown layer: '([^']*)'", str(error))
    said = reason_of(error) if missing is None else f"it needs {missing[1] or missing[2]!r}, which Keras does not know"
    if version.startswith(("1.", "2.")):
        return (
            f"it was written by Keras {version}, and Keras 3 cannot read it ({said}); "
            "write it with model.export('folder') where it was made"
        )
    if missing is not None:
        said += (
            ": name its module with --custom-objects, or write the model with model.export('folder') where that class "
            "is at hand"
        )
    return said
