"""Reads a TensorFlow SavedModel, which has operations but no layers, as a graph of steps.

Consecutive operations in one name scope become one step: a layer leaves such a scope behind.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import tensorflow as tf

from splitway.errors import ModelError
from splitway.saved_model_check import refuse_unsafe
from splitway.splitter.graph import Graph, Step, Wire, unique_names
from splitway.splitter.proof.prove import Answers
from splitway.splitter.readers.file_kinds import in_place_of_saved_model
from splitway.splitter.readers.foreign import reason_of
from splitway.splitter.readers.loaded import KEPT, LoadedModel
from splitway.splitter.readers.plain import are_plain_operations
from splitway.splitter.readers.saved_model_graph import FlatGraph, flatten
from splitway.splitter.readers.saved_model_identity import Described, Held
from splitway.splitter.readers.saved_model_random import without_calls

_SIGNATURES = ("serving_default", "serve")


def load_saved_model(folder: Path) -> LoadedModel:
    """Read a SavedModel's folder. Raises ModelError if it is not one, or holds operations that cannot be served."""
    if not (folder / "saved_model.pb").is_file():
        raise ModelError(f"{folder} is a folder without saved_model.pb: {in_place_of_saved_model(folder)}")
    refuse_unsafe(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
        function = _signature(folder, loaded)
        arguments = sorted(function.structured_input_signature[1])
        flat = flatten(function, loaded)
        graph = _SavedModelReader(flat).read(arguments, sorted(function.structured_outputs))
    except ModelError as error:
        raise ModelError(f"{folder} cannot be loaded: {error.detail}") from error
    except Exception as error:  # a damaged file raises what its readers stumble over
        raise ModelError(f"{folder} cannot be loaded: {reason_of(error)}") from error

    ends = ([tensor.name for tensor in tensors] for tensors in (flat.inputs, flat.outputs))
    quiet = flat.part(*ends) if flat.left_out else None

    def run(inputs: Answers) -> Answers:
        values = [tf.constant(inputs[name]) for name in graph.inputs]
        if quiet is not None:
            made = dict(enumerate(quiet(*values)))
        else:
            made = function(**dict(zip(arguments, values, strict=True)))
        return {name: made[key].numpy() for name, key in zip(graph.outputs, sorted(made), strict=True)}

    def keep(place: Path) -> Path:
        return Path(shutil.copytree(folder, place / KEPT))

    draws = "draws random numbers, as in training; it is served as a layer that hands on what it takes"
    notes = tuple(f"{without_calls(scope)} {draws}" for scope in flat.left_out)
    return LoadedModel(folder.resolve().name, graph, run, keep, notes)


def _signature(folder: Path, loaded: Any) -> Any:
    names = [name for name in _SIGNATURES if name in loaded.signatures] or list(loaded.signatures)
    if not names:
        raise ModelError(f"{folder} has no signature: export the model with model.export('folder')")
    return loaded.signatures[names[0]]


class _SavedModelReader:
    """Writes the steps of a flat graph. Steps that run together are taken out of it as one function."""

    def __init__(self, flat: FlatGraph) -> None:
        self._flat = flat
        self._part = cache(flat.part)
        self._described = Described(flat.wrapped.graph, flat.held)
        self._constant = _constants(flat)
        self._graph = Graph()
        self._wires: dict[str, Wire] = {}
        self._tensors: dict[int, str] = {}

    def read(self, arguments: list[str], outputs: list[str]) -> Graph:
        """The graph, with these names for its inputs and outputs."""
        graph, wires = self._graph, self._wires
        for tensor in self._flat.inputs:
            self._add(tensor, _shape(tensor))
        graph.inputs = unique_names([(n, wires[t.name]) for n, t in zip(arguments, self._flat.inputs, strict=True)])
        operations = [
            each
            for each in self._flat.wrapped.graph.get_operations()
            if each.name not in self._constant and each.type not in ("Placeholder", "NoOp")
        ]
        uses: Counter[str] = Counter()
        for scope, inside in groupby(operations, lambda each: _scope_name(each.name)):
            uses[scope] += 1
            graph.steps.append(self._step(scope if uses[scope] == 1 else f"{scope}#{uses[scope]}", list(inside)))
        for name, tensor in zip(outputs, self._flat.outputs, strict=True):
            if tensor.name not in wires:
                raise ModelError(f"the output {name!r} is a constant, the same whatever comes in: export without it")
        graph.outputs = unique_names([(k, wires[t.name]) for k, t in zip(outputs, self._flat.outputs, strict=True)])
        return graph

    def _add(self, tensor: Any, shape: list[int | None]) -> Wire:
        """A wire for a tensor."""
        wire = self._wires[tensor.name] = self._graph.wire(shape, tensor.dtype.name)
        self._tensors[wire.number] = tensor.name
        return wire

    def _step(self, name: str, operations: list[Any]) -> Step:
        own = {operation.name for operation in operations}
        taken = [t for op in operations for t in op.inputs if t.op.name not in own | self._constant]
        taken = list({t.name: t for t in taken}.values())
        last = {t.name for t in self._flat.outputs}
        made = [t for op in operations for t in op.outputs]
        given = [t for t in made if t.name in last or any(user.name not in own for user in t.consumers())]
        takes = tuple(self._wires[t.name] for t in taken)
        gives = tuple(self._add(t, _shape(t) if t.shape.rank is not None else [None, None]) for t in given)
        computes, weights = self._described.step(taken, given)
        return Step(
            name,
            operations[-1].type,
            takes,
            gives,
            partial(self._run, takes, gives),
            [weight.keeper for weight in weights],
            together=self._run,
            identity={"computes": computes},
            weights=tuple(weights),
            flops=_flops(weights, gives),
            plain=are_plain_operations([each.type for each in operations], weights),
        )

    def _run(self, takes: Sequence[Wire], gives: Sequence[Wire], values: Sequence[Any]) -> list[Any]:
        """Run what lies between some tensors and others; it is taken out of the graph when it is first run."""
        passed = {wire.number: value for wire, value in zip(takes, values, strict=True)}
        made = [wire.number for wire in gives if wire.number not in passed]
        if made:
            names = [tuple(self._tensors[number] for number in numbers) for numbers in (passed, made)]
            passed |= dict(zip(made, self._part(*names)(*values), strict=True))
        return [passed[wire.number] for wire in gives]


def _shape(tensor: Any) -> list[int | None]:
    if tensor.shape.rank is None:
        raise ModelError(
            f"the SavedModel does not say what shape {tensor.name!r} has: export it with an input signature"
        )
    return list(tensor.shape.as_list())


def _constants(flat: FlatGraph) -> set[str]:
    """Names of the operations that depend on no input."""
    inputs = {tensor.op.name for tensor in flat.inputs}
    found: set[str] = set()
    for operation in flat.wrapped.graph.get_operations():
        if operation.name not in inputs and all(t.op.name in found for t in operation.inputs):
            found.add(operation.name)
    return found


def _scope_name(operation: str) -> str:
    name = without_calls(operation)
    return name.rpartition("/")[0] or name


def _flops(weights: Sequence[Held], gives: tuple[Wire, ...]) -> float:
    kernels = sum(2 * math.prod(w.shape) for w in weights if len(w.shape) > 1)
    places = math.prod(n or 1 for n in gives[0].shape[:-1]) if gives else 1
    return float(kernels * places) if kernels else float(sum(math.prod(n or 1 for n in w.shape) for w in gives))
