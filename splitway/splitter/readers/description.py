"""What a model file says of itself, read with limits and without Keras: its format, layers, classes and code."""

from __future__ import annotations

import difflib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from splitway.errors import ModelError, first_line, printable
from splitway.splitter.readers.file_kinds import is_hdf5, no_model

KERAS, H5 = ".keras", (".h5", ".hdf5")
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
_HIDE_LAYERS = ("MultiHeadAttention", "GroupedQueryAttention")
"""Classes of Keras with layers inside that their descriptions do not name."""
_KEEP_COUNT = ("Activation", "Softmax", "ReLU", "Dropout")
"""Layers that give as many numbers as they take."""


def kind_of(path: Path, *, allow_legacy: bool) -> str:
    """`.keras` or `.h5`, by what is in a file. Raises ModelError if it is neither, or `.h5` and that is not allowed."""
    try:
        legacy = is_hdf5(path)
        if legacy and not allow_legacy:  # before anything of it is parsed
            raise ModelError(
                f"{path} is in the legacy HDF5 format, which is taken with --allow-legacy only; "
                "better save the model again with model.save('name.keras')"
            )
        if (what := no_model(path)) is not None:
            raise ModelError(f"{path} cannot be loaded: {what}")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    return H5[0] if legacy else KERAS


def read_description(path: Path, kind: str) -> Any:
    """Return a model's description. Raises ModelError, before anything is built from it, if it holds code or is
    unreadable."""
    try:
        found = _description(path, kind)
        code = _code_in(found)
    except Exception as error:  # whatever zipfile, zlib, json and h5py stumble over, nesting too deep for them included
        raise ModelError(f"{path} cannot be loaded: it is damaged or no Keras model ({first_line(error)})") from error
    if code is not None:
        raise ModelError(
            f"{path}: {code}: it carries code, and code in model files is not accepted; "
            "replace it by a layer of a class, or by keras.ops"
        )
    return found


def _description(path: Path, kind: str) -> Any:
    if kind == KERAS:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(archive)
            return json.loads(archive.read(_DESCRIPTION))
    import h5py  # noqa: PLC0415 - brings numpy along, and is needed for this format alone

    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def _refuse_bomb(archive: zipfile.ZipFile) -> None:
    """Raise ValueError for an archive that unpacks to far more than any model does, or says one thing twice."""
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise ValueError("a file in it occurs twice")
    for member in members:
        if member.filename == _DESCRIPTION and member.file_size > _MAX_DESCRIPTION_BYTES:
            raise ValueError(f"its description has {member.file_size} bytes")
        if member.file_size > max(_MAX_DESCRIPTION_BYTES, _MAX_RATIO * member.compress_size):
            raise ValueError(f"{printable(member.filename[:80])} unpacks to {member.file_size} bytes")


def _code_in(config: Any) -> str | None:
    """The first entry of a description, at any depth, that carries code."""
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


def layer_names(description: Any) -> list[str] | None:
    """The names of all layers, at any depth, in order; None where it has classes that may hold others, or no layers."""
    names = []
    try:
        layers = description["config"]["layers"]
    except (KeyError, TypeError):
        return None
    for each in _objects_in(layers):
        home = str(each.get("module"))
        if home.partition(".")[0] != "keras" or each.get("class_name") in _HIDE_LAYERS:
            return None
        name = each["config"].get("name")
        names += [name] if isinstance(name, str) and each.get("class_name") != "DTypePolicy" else []
    return names


def _objects_in(description: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what a description makes of classes, but for the tensors between layers."""
    if isinstance(description, Mapping):
        if isinstance(description.get("config"), Mapping) and description.get("class_name") != "__keras_tensor__":
            yield description
        description = [value for key, value in description.items() if key not in {"compile_config", "build_config"}]
    if isinstance(description, list):
        for each in description:
            yield from _objects_in(each)


def no_layer(name: str, known: Mapping[str, str], last: Sequence[str]) -> ModelError:
    """The refusal of a layer that a model does not have, with the nearest names, or else the last ones.

    Args:
        known: the names under which each layer may be meant, with its own.
    """
    near = dict.fromkeys(known[each] for each in difflib.get_close_matches(name, known, n=3)) or last[-3:]
    return ModelError(f"the model has no layer {name!r}; did you mean {', '.join(map(repr, near))}?")


def classes_of(description: Any) -> int | None:
    """How many numbers the last layer gives, where it is plain; None for several outputs and all else."""
    try:
        config = description["config"]
        layers: list[Any] = config["layers"]
        if description["class_name"] == "Sequential":
            return _classes_of_chain(layers)
        ends = config["output_layers"]
        by_name = {layer["config"]["name"]: layer for layer in layers}
        chain = [by_name[ends[0]]]
        for _ in layers:
            taken = _taken(chain[0])
            if len(taken) == 1 and chain[0]["class_name"] in _KEEP_COUNT:
                chain.insert(0, by_name[taken.pop()])
        return _classes_of_chain(chain)
    except (KeyError, TypeError, IndexError, AttributeError):
        return None


def _classes_of_chain(layers: Sequence[Any]) -> int | None:
    for layer in reversed(layers):
        if layer["class_name"] == "Dense":
            units = layer["config"]["units"]
            return units if isinstance(units, int) else None
        if "layers" in layer["config"]:
            return classes_of(layer)
        if layer["class_name"] not in _KEEP_COUNT:
            break
    return None


def _taken(layer: Any) -> set[str]:
    """The names of the layers whose tensors a layer takes."""
    found = set()
    to_see = [layer["inbound_nodes"]]
    while to_see:
        each = to_see.pop()
        if isinstance(each, Mapping):
            found |= {each["keras_history"][0]} if "keras_history" in each else set()
            to_see += each.values()
        elif isinstance(each, list):
            to_see += each
    return found


def has_optimizer(description: Any) -> bool:
    """Whether the file may hold the numbers of an optimizer, up to twice as many as the model's own."""
    compiled = description.get("compile_config") if isinstance(description, Mapping) else None
    return bool(compiled)
