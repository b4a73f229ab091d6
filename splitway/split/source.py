"""A model as its author saved it: read without running code from it, and kept for later proofs."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import keras

from splitway.bundle import sha256_file
from splitway.errors import ModelError, first_line, printable
from splitway.split.loaded import DEFAULT_PICTURE_SIZE, KEPT, LoadedModel, of_keras
from splitway.split.saved_model import load_saved_model

_KERAS, _H5 = ".keras", (".h5", ".hdf5")
_DESCRIPTION = "config.json"
_MAX_DESCRIPTION_BYTES = 64 * 1024 * 1024
_MAX_RATIO = 200
"""How much smaller a file of an archive may be than what it unpacks to."""
_CODE = {
    "Lambda": "layer {!r} is a Lambda",
    "__lambda__": "there is a {!r} among its functions",
    "TFSMLayer": "layer {!r} is a TFSMLayer, which loads another model",
    "TorchModuleWrapper": "layer {!r} is a TorchModuleWrapper, which is pickled",
    "JaxLayer": "layer {!r} is a JaxLayer",
    "FlaxLayer": "layer {!r} is a FlaxLayer",
}
"""Classes in a description that carry code or bring it in, and how to say so."""


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
        custom_objects: a module (by dotted name or path) whose classes and functions the model needs.
        picture_size: height and width for a model that takes pictures of any.

    Raises:
        ModelError: there is nothing there, it is something else, damaged, or holds what cannot be loaded safely.
    """
    if path.is_dir():
        return load_saved_model(path)
    if path.suffix not in (_KERAS, *_H5):
        raise ModelError(f"{path} is not a .keras file or a SavedModel; save the model with model.save('name.keras')")
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    if path.suffix in _H5 and not allow_legacy:
        raise ModelError(
            f"{path} is in the legacy HDF5 format, which is taken with --allow-legacy only; "
            "better save the model again with model.save('name.keras')"
        )
    _refuse_code(path)
    known = _objects_of(custom_objects)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True, custom_objects=known)
    except Exception as error:  # a damaged or foreign archive raises what its readers stumble over
        raise ModelError(f"{path} cannot be loaded: {_why(error)}") from error

    def keep(folder: Path) -> Path:
        return Path(shutil.copyfile(path, folder / f"{KEPT}{path.suffix}"))

    return of_keras(model, path.stem, keep, picture_size)


def fingerprint(path: Path) -> str:
    """The SHA-256 of a file, or of all files of a folder with their names."""
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def _refuse_code(path: Path) -> None:
    """Raise ModelError, before anything is built from it, if a model's description holds code or is unreadable."""
    try:
        code = _code_in(_config(path))
    except Exception as error:  # whatever zipfile, zlib, json and h5py stumble over, nesting too deep for them included
        raise ModelError(f"{path} cannot be loaded: it is damaged or no Keras model ({first_line(error)})") from error
    if code is not None:
        raise ModelError(
            f"{path}: {code}: it carries code, and code is not taken from a model file; "
            "replace it by a layer of a class, or by keras.ops"
        )


def _config(path: Path) -> Any:
    if path.suffix == _KERAS:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(archive)
            return json.loads(archive.read(_DESCRIPTION))
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def _refuse_bomb(archive: zipfile.ZipFile) -> None:
    """Raise ValueError for an archive that unpacks to far more than any model does, or says one thing twice."""
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise ValueError("a file in it is there twice")
    for member in members:
        if member.filename == _DESCRIPTION and member.file_size > _MAX_DESCRIPTION_BYTES:
            raise ValueError(f"its description has {member.file_size} bytes")
        if member.file_size > max(_MAX_DESCRIPTION_BYTES, _MAX_RATIO * member.compress_size):
            raise ValueError(f"{printable(member.filename[:80])} unpacks to {member.file_size} bytes")


def _code_in(config: Any) -> str | None:
    """What carries code, the first that a description holds, however deep."""
    if isinstance(config, Mapping):
        kind = config.get("class_name")
        if kind in _CODE:
            inner = config.get("config")
            name = inner.get("name") if isinstance(inner, Mapping) else None
            return _CODE[kind].format(printable(str(name or kind.strip("_").lower())[:80]))
        config = list(config.values())
    if isinstance(config, list):
        return next((code for each in config if (code := _code_in(each)) is not None), None)
    return None


def _objects_of(module: str | None) -> dict[str, Any]:
    """The classes and functions that a module of the user's own defines."""
    if module is None:
        return {}
    loaded = _import(module)
    own = {name: value for name, value in vars(loaded).items() if getattr(value, "__module__", None) == loaded.__name__}
    return {name: value for name, value in own.items() if callable(value)}


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


def _why(error: Exception) -> str:
    """A loader's complaint in one line, with what to do where it misses a class."""
    said = first_line(error)
    missing = re.search(r"Could not locate (?:class|function) '([^']*)'|Unknown layer: '([^']*)'", str(error))
    if missing is None:
        return said
    return f"it needs {missing[1] or missing[2]!r}, which Keras does not know: name its module with --custom-objects"
