"""Reads a TensorFlow SavedModel, which has operations but no layers, as a graph of steps.

Consecutive operations in one name scope become one step: a layer leaves such a scope behind.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from splitway.splitter.readers.saved_model_graph import FlatGraph, flatten
from splitway.splitter.readers.saved_model_held import Held
from splitway.splitter.readers.saved_model_identity import Described
from splitway.splitter.readers.saved_model_random import without_calls

_SIGNATURES = ("serving_default", "serve")


@dataclass
class _Scope:
    """Operations of one step, while they are gathered."""

    name: str
    operations: list[Any] = field(default_factory=list)
    keeps: list[Any] = field(default_factory=list)
    """Variables and tables that they use."""


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
        graph = _read(flat, arguments, sorted(function.structured_outputs))
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

    draws = ((without_calls(scope), "draws random numbers, as in training") for scope in flat.left_out)
    notes = tuple(f"{name} {what}; it is served as a layer that hands on what it takes" for name, what in draws)
    return LoadedModel(folder.resolve().name, graph, run, keep, notes)


def _signature(folder: Path, loaded: Any) -> Any:
    names = [name for name in _SIGNATURES if name in loaded.signatures] or list(loaded.signatures)
    if not names:
        raise ModelError(f"{folder} has no signature: export the model with model.export('folder')")
    return loaded.signatures[names[0]]


def _read(flat: FlatGraph, arguments: list[str], outputs: list[str]) -> Graph:
    graph = Graph()
    whole = _Whole(flat)
    wires: dict[str, Wire] = {}
    for tensor in flat.inputs:
        wires[tensor.name] = whole.know(graph.wire(_shape(tensor), tensor.dtype.name), tensor)
    graph.inputs = unique_names([(n, wires[t.name]) for n, t in zip(arguments, flat.inputs, strict=True)])
    constant = _constants(flat)
    described = Described(flat.wrapped.graph, flat.held)
    uses: Counter[str] = Counter()
    for scope in _scopes(flat.wrapped.graph, constant):
        uses[scope.name] += 1
        if uses[scope.name] > 1:
            scope.name = f"{scope.name}#{uses[scope.name]}"
        graph.steps.append(_step(scope, flat, constant, wires, graph, described, whole))
    for name, tensor in zip(outputs, flat.outputs, strict=True):
        if tensor.name not in wires:
            raise ModelError(f"the output {name!r} is a constant, the same whatever comes in: export without it")
    graph.outputs = unique_names([(k, wires[t.name]) for k, t in zip(outputs, flat.outputs, strict=True)])
    return graph


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


def _scopes(graph: Any, constant: set[str]) -> Iterator[_Scope]:
    """Gather operations into steps, in an order in which they can run."""
    current = _Scope("")
    for operation in graph.get_operations():
        if operation.name in constant or operation.type in ("Placeholder", "NoOp"):
            continue
        name = _scope_name(operation.name)
        if name != current.name and current.operations:
            yield current
            current = _Scope(name)
        current.name = name
        current.operations.append(operation)
    if current.operations:
        yield current


def _scope_name(operation: str) -> str:
    name = without_calls(operation)
    return name.rpartition("/")[0] or name


def _step(
    scope: _Scope,
    flat: FlatGraph,
    constant: set[str],
    wires: dict[str, Wire],
    graph: Graph,
    described: Described,
    whole: _Whole,
) -> Step:
    own = {operation.name for operation in scope.operations}
    taken = [t for op in scope.operations for t in op.inputs if t.op.name not in own | constant]
    taken = list({t.name: t for t in taken}.values())
    last = {t.name for t in flat.outputs}
    given = [t for op in scope.operations for t in op.outputs if t.name in last or _leaves(t, own)]
    takes = tuple(wires[t.name] for t in taken)
    for tensor in given:
        known = tensor.shape.rank is not None
        wire = graph.wire(_shape(tensor) if known else [None, None], tensor.dtype.name)
        wires[tensor.name] = whole.know(wire, tensor)
    gives = tuple(wires[t.name] for t in given)
    computes, weights = described.step(taken, given)
    scope.keeps += [weight.keeper for weight in weights]
    return Step(
        scope.name,
        scope.operations[-1].type,
        takes,
        gives,
        partial(whole.run, takes, gives),
        scope,
        together=whole.run,
        identity={"computes": computes},
        weights=tuple(weights),
        flops=_flops(weights, gives),
    )


def _leaves(tensor: Any, own: set[str]) -> bool:
    return any(consumer.name not in own for consumer in tensor.consumers())


def _flops(weights: Sequence[Held], gives: tuple[Wire, ...]) -> float:
    kernels = sum(2 * math.prod(w.shape) for w in weights if len(w.shape) > 1)
    places = math.prod(n or 1 for n in gives[0].shape[:-1]) if gives else 1
    return float(kernels * places) if kernels else float(sum(math.prod(n or 1 for n in w.shape) for w in gives))


class _Whole:
    """The graph; steps that run together are taken out of it as one."""

    def __init__(self, flat: FlatGraph) -> None:
        self._flat = flat
        self._tensors: dict[int, str] = {}
        self._pruned: dict[Any, Callable[..., list[Any]]] = {}

    def know(self, wire: Wire, tensor: Any) -> Wire:
        """Remember which tensor a wire stands for."""
        self._tensors[wire.number] = tensor.name
        return wire

    def run(self, takes: Sequence[Wire], gives: Sequence[Wire], values: Sequence[Any]) -> list[Any]:
        """Run what lies between some tensors and others; it is taken out of the graph when it is first run."""
        passed = {wire.number: value for wire, value in zip(takes, values, strict=True)}
        made = [wire for wire in gives if wire.number not in passed]
        key = tuple(passed), tuple(wire.number for wire in made)
        if key not in self._pruned:
            takes_named, gives_named = ([self._tensors[number] for number in numbers] for numbers in key)
            self._pruned[key] = self._flat.part(takes_named, gives_named)
        if made:
            passed |= {w.number: v for w, v in zip(made, self._pruned[key](*values), strict=True)}
        return [passed[wire.number] for wire in gives]
