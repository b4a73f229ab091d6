"""Exports a part of a model to the files that engines read."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from splitway.bundle import engine_file_entry
from splitway.errors import ModelError, SetupError, SplitwayError, first_line
from splitway.manifest import ENDPOINT, SAVED_MODEL, EngineFile, EngineName, TensorEntry
from splitway.splitter.graph import Part, Wire, reached
from splitway.splitter.readers.foreign import said
from splitway.wire.tensor import DATATYPES

_NO_HOLDERS = (str, bytes, int, float, np.ndarray, tf.Tensor, tf.Operation, tf.Graph, type, ModuleType, FunctionType)
_PLACE = re.compile(r"^<unknown>:0: error: loc\(.*\): (?=')")
"""The place in TensorFlow's code at which the converter failed."""
LITERT_FILE = "model.tflite"
_SCOPE = "part"
"""The scope around all layers: inside a scope, names may begin with any character."""


def entries(wires: Mapping[str, Wire], ranges: Mapping[int, tuple[int, int]] | None = None) -> tuple[TensorEntry, ...]:
    """The manifest's entries for the inputs or outputs of a part, with ranges by the number of the wire."""
    return tuple(
        TensorEntry(
            name=name,
            datatype=DATATYPES[np.dtype(wire.travels_as)],
            shape=(-1, *(int(n or 0) for n in wire.shape)),
            range=(ranges or {}).get(wire.number),
        )
        for name, wire in wires.items()
    )


class _Served(tf.Module):
    """A part in the form that TensorFlow saves: one function, and the variables and tables that it uses."""

    def __init__(self, part: Part, rows: int | None) -> None:
        super().__init__()
        self._part = part
        specs = [tf.TensorSpec((rows, *wire.shape), wire.travels_as, name=name) for name, wire in part.takes.items()]
        self.function = tf.function(self._run, input_signature=specs, autograph=False)
        self.kept = _kept(self.function.get_concrete_function().graph, part)
        for value in self.kept:
            if str(getattr(value, "name", "")).startswith("_"):  # saving makes an operation of this name
                value._handle_name = f"{_SCOPE}/{value.name}"

    def _run(self, *values: Any) -> dict[str, Any]:
        part = self._part
        inside = [tf.cast(v, wire.dtype) for v, wire in zip(values, part.takes.values(), strict=True)]
        with tf.name_scope(_SCOPE):
            made = list(zip(part.gives.items(), part.run(inside), strict=True))
        return {name: tf.identity(tf.cast(value, wire.travels_as), name=name) for (name, wire), value in made}


def _kept(graph: Any, part: Part) -> list[Any]:
    """The variables and tables that a traced part uses, random seeds too. Raises ModelError for anything else."""
    wanted = {id(outside): inside for outside, inside in graph.captures if outside.dtype == tf.resource}
    kept = {id(variable.handle): variable for variable in graph.variables}
    if not wanted.keys() <= kept.keys():
        inside = reached([step.owner for step in part.steps], _inside, id).values()
        kept |= {id(handle): each for each in inside if (handle := _handle_of(each)) is not None}
    lost = next((inside for handle, inside in wanted.items() if handle not in kept), None)
    if lost is not None:
        raise ModelError(f"the model cannot be exported: {lost.op.name!r} uses a resource that no layer of it holds")
    return [kept[handle] for handle in dict.fromkeys(wanted)]


def _inside(holder: Any) -> list[Any]:
    """What an object holds; nothing if it owns a resource itself."""
    if _handle_of(holder) is not None:
        return []
    held = holder if isinstance(holder, Mapping | list | tuple | set) else getattr(holder, "__dict__", {})
    held = held.values() if isinstance(held, Mapping) else held
    return [each for each in held if not isinstance(each, _NO_HOLDERS)]


def _handle_of(holder: Any) -> Any:
    if isinstance(holder, tf.Variable):
        return getattr(holder, "handle", None)
    return holder.resource_handle if isinstance(holder, tf.saved_model.experimental.TrackableResource) else None


def export_saved_model(part: Part, folder: Path, rows: int | None = None) -> None:
    """Write a SavedModel with one signature, for `rows` rows or (None) any number.

    Raises:
        ModelError: TensorFlow cannot run or save it.
        SetupError: the files cannot be written.
    """
    try:
        served = _Served(part, rows)
        tf.saved_model.save(served, str(folder), signatures={ENDPOINT: served.function.get_concrete_function()})
    except (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError, tf.errors.UnknownError) as error:
        raise SetupError(f"cannot write {folder}: {first_line(error)}") from error
    except (SplitwayError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # what foreign layers raise among it
        raise ModelError(f"the model cannot be exported: {said(error)}") from error


def convert_to_litert(part: Part) -> bytes:
    """Return a LiteRT model of one row. Raises ModelError if an operation cannot be converted."""
    with tempfile.TemporaryDirectory(prefix="splitway-") as folder:
        export_saved_model(part, Path(folder), rows=1)
        try:
            converted: bytes = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[ENDPOINT]).convert()
        except Exception as error:  # the converter raises what its C++ parts happen to raise
            raise ModelError(f"it cannot be converted to LiteRT: {_reason(error)}") from error
    return converted


def _reason(error: Exception) -> str:
    """The operations that cannot be converted, if the converter names them; else the first line of its message."""
    lines = str(error).splitlines()
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("TF Select ops:", "Custom ops:"))]
    return f"LiteRT has no {', '.join(named)}" if named else _PLACE.sub("", first_line(error))


def export_engines(part: Part, folder: Path, engines: tuple[EngineName, ...]) -> tuple[EngineFile, ...]:
    """Write the files of these engines into a bundle's folder and describe them. Raises ModelError, SetupError."""
    files: list[EngineFile] = []
    if "litert" in engines:
        litert = folder / LITERT_FILE
        litert.write_bytes(convert_to_litert(part))
        files.append(engine_file_entry(folder, litert, "litert"))
    if "tensorflow" in engines:
        saved_model = folder / SAVED_MODEL
        export_saved_model(part, saved_model)
        written = sorted(path for path in saved_model.rglob("*") if path.is_file())
        files += [engine_file_entry(folder, path, "tensorflow") for path in written]
    return tuple(files)
