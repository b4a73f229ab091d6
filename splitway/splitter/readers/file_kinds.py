"""Tells a file's format by its first bytes, and gives advice if it is not a model that can be read."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

_HEAD = 512
_EXPORT = "where the model was made, write it with model.save('name.keras') or model.export('folder')"
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_ARCHIVES = {
    rb"\x1f\x8b": "gzip",
    rb"BZh": "bzip2",
    rb"\xfd7zXZ\x00": "xz",
    rb"7z\xbc\xaf": "7-Zip",
    rb"Rar!": "RAR",
    rb".{257}ustar": "tar",
}
"""The kinds of archive, by how they begin."""
_KINDS = {
    rb"(\xef\xbb\xbf|[ \r\n])*version https://git-lfs": (
        "it is a pointer of Git LFS and not the model itself: fetch that with git lfs pull"
    ),
    rb".{4}TFL3": f"it is a TFLite model, which has no layers to cut between: {_EXPORT}",
    rb"\x80[\x02-\x05]": (
        f"it is a pickle, as PyTorch and scikit-learn write them, which runs code when it is read: {_EXPORT}"
    ),
    rb"\x08\x01\x12": (
        "it is the graph of a SavedModel alone: name the whole folder, in which it is called saved_model.pb"
    ),
    rb"\x08.[\x12\x1a\x3a]": f"it looks like an ONNX model: convert it to a SavedModel's folder, or {_EXPORT}",
    rb"GGUF|.{8}\{\"": f"it is a file of weights alone, without the model: {_EXPORT}",
}
"""What to say of other kinds of file, by how they begin."""
_IN_ZIPS: dict[tuple[str, ...], str] = {
    ("/data.pkl", "constants.pkl"): f"it is a PyTorch model, a pickle, which runs code when it is read: {_EXPORT}",
    ("saved_model.pb",): "it is an archive of a SavedModel: unpack it, and name the folder that holds saved_model.pb",
    (".keras", ".h5"): "it is an archive with a model in it: unpack it, and name that file",
    (".npy",): f"it is an archive of numpy arrays, without a model: {_EXPORT}",
}
"""The kind of a zip archive, by the names in it."""


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5."""
    return _head(path).startswith(_HDF5)


def no_model(path: Path) -> str | None:
    """The format of a file that is not a Keras 2 or 3 model, with advice; None if it may be one. Raises OSError."""
    head = _head(path)
    if not head:
        return "it is empty: copy or download it again"
    if path.name == "saved_model.pb":
        return f"it is a part of a SavedModel: name its folder, {path.parent}"
    if head.startswith(_HDF5):
        return _of_hdf5(path)
    if head.startswith(_ZIP):
        return _of_zip(path)
    return _of_bytes(head)


def in_place_of_saved_model(folder: Path) -> str:
    """Advice for a folder that is not a SavedModel, from its content."""
    inside = next((path.parent for path in sorted(folder.glob("*/saved_model.pb"))), None)
    inside = inside or next((path for path in sorted(folder.glob("*.keras"))), None)
    if inside is not None:
        return f"did you mean {inside}?"
    if folder.name in ("assets", "variables") and (folder.parent / "saved_model.pb").is_file():
        return f"it is a part of a SavedModel: name its folder, {folder.parent}"
    return f"no SavedModel; {_EXPORT}"


def keras_version(path: Path) -> str:
    """The version of Keras that wrote a `.keras` file; empty if it does not say."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _of_bytes(head: bytes) -> str:
    if (packed := _by_beginning(_ARCHIVES, head)) is not None:
        return f"it is a {packed} archive: unpack it, and name the file or folder of the model"
    return (
        _by_beginning(_KINDS, head) or _of_text(head) or f"it is damaged, or neither a .keras file nor HDF5: {_EXPORT}"
    )


def _by_beginning(kinds: Mapping[bytes, str], head: bytes) -> str | None:
    return next((said for begins, said in kinds.items() if re.match(begins, head, re.DOTALL)), None)


def _of_text(head: bytes) -> str | None:
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \r\n\t").lower()
    if text.startswith(("<!doctype", "<html", "<?xml", "<head")):
        return "it is a web page, perhaps an error that was saved in place of the model: download it again"
    if text.startswith("{"):
        return f"it is JSON, which has no weights: {_EXPORT}"
    if "\ufffd" not in text[:-4] and "".join(text.split()).isprintable():
        return f"it is text and no model: {_EXPORT}"
    return None


def _of_hdf5(path: Path) -> str | None:
    import h5py  # noqa: PLC0415 - brings numpy along, and is needed for this format alone

    try:
        with h5py.File(path) as file:
            if "model_config" in file.attrs:
                return None
            weights = "layer_names" in file.attrs or {"layers", "vars", "_layer_checkpoint_dependencies"} & set(file)
    except (OSError, RuntimeError):
        return "it is an HDF5 file that is damaged or cut short: copy or download it again"
    if weights:
        return f"it is a file of weights alone, without the model (model.save_weights writes such): {_EXPORT}"
    return f"it is an HDF5 file, but holds no Keras model: {_EXPORT}"


def _of_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "it is an archive that is damaged or cut short: copy or download it again"
    if {"config.json", "model.weights.h5"} & set(names):
        return None
    if "model.weights.h5" in names:
        return "it is a .keras file without its config.json: save, copy or download it again"
    for ends, said in _IN_ZIPS.items():
        if any(name.endswith(ends) for name in names):
            return said
    return f"it is a zip archive without config.json, so no .keras file: {_EXPORT}"
