"""A TensorFlow SavedModel, which has operations and no layers any more, as a graph of steps.

Operations that follow each other under one name scope, which is what a layer leaves behind, are one step. Variables
become constants first, so that a part can be taken out of the graph by itself.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from splitway.errors import ModelError, first_line
from splitway.split.graph import Graph, Step, Wire
from splitway.split.loaded import KEPT, LoadedModel
from splitway.split.names import unique_names
from splitway.split.prove import Answers

_SIGNATURES = ("serving_default", "serve")
_CODE = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile"}
"""Operations that run Python, or touch files, wherever the model is served."""
_LEADING = ("StatefulPartitionedCall", "PartitionedCall")
_UNTYPED = ("_class", "_output_shapes", "_XlaMustCompile")


@dataclass(frozen=True)
class _Weight:
    """A constant that was a variable."""

    value: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def numpy(self) -> NDArray[Any]:
        """Its numbers."""
        return self.value


@dataclass
class _Scope:
    """Operations of one step, while they are gathered."""

    name: str
    operations: list[Any] = field(default_factory=list)


def load_saved_model(folder: Path) -> LoadedModel:
    """Read a SavedModel's folder. Raises ModelError if it is none, or holds what cannot be served."""
    if not (folder / "saved_model.pb").is_file():
        raise ModelError(f"{folder} is a folder without saved_model.pb: no SavedModel")
    try:
        loaded = tf.saved_model.load(str(folder))
        names = [name for name in _SIGNATURES if name in loaded.signatures] or list(loaded.signatures)
        if not names:
            raise ModelError(f"{folder} has no signature: export the model with model.export('folder')")
        function = loaded.signatures[names[0]]
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise ModelError(f"{folder} cannot be loaded: {first_line(error)}") from error
    graph = _read(frozen, sorted(function.structured_outputs))

    def run(inputs: Answers) -> Answers:
        made = function(
            **{_argument(t): tf.constant(inputs[n]) for n, t in zip(graph.inputs, frozen.inputs, strict=True)}
        )
        return {name: made[key].numpy() for name, key in zip(graph.outputs, sorted(made), strict=True)}

    def keep(place: Path) -> Path:
        return Path(shutil.copytree(folder, place / KEPT))

    return LoadedModel(folder.resolve().name, graph, run, keep)


def _argument(tensor: Any) -> str:
    return str(tensor.op.name)


def _read(frozen: Any, outputs: list[str]) -> Graph:
    graph = Graph()
    wires: dict[str, Wire] = {}
    for tensor in frozen.inputs:
        wires[tensor.name] = graph.wire(_shape(tensor), tensor.dtype.name)
    graph.inputs = unique_names([(_argument(tensor), wires[tensor.name]) for tensor in frozen.inputs])
    constant = _constants(frozen.graph)
    for scope in _scopes(frozen.graph, constant):
        graph.steps.append(_step(scope, frozen, constant, wires, graph))
    graph.outputs = unique_names([(k, wires[t.name]) for k, t in zip(outputs, frozen.outputs, strict=True)])
    return graph


def _shape(tensor: Any) -> list[int | None]:
    if tensor.shape.rank is None:
        raise ModelError(
            f"the SavedModel does not say what shape {tensor.name!r} has: export it with an input signature"
        )
    return list(tensor.shape.as_list())


def _constants(graph: Any) -> set[str]:
    """Names of the operations that depend on no input."""
    found: set[str] = set()
    for operation in graph.get_operations():
        if operation.type != "Placeholder" and all(t.op.name in found for t in operation.inputs):
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
    parts = operation.split("/")
    while len(parts) > 1 and parts[0].startswith(_LEADING):
        parts = parts[1:]
    return "/".join(parts[:-1]) or parts[0]


def _step(scope: _Scope, frozen: Any, constant: set[str], wires: dict[str, Wire], graph: Graph) -> Step:
    own = {operation.name for operation in scope.operations}
    taken = [t for op in scope.operations for t in op.inputs if t.op.name not in own | constant]
    taken = list({t.name: t for t in taken}.values())
    last = {t.name for t in frozen.outputs}
    given = [t for op in scope.operations for t in op.outputs if t.name in last or _leaves(t, own)]
    takes = tuple(wires[t.name] for t in taken)
    for tensor in given:
        known = tensor.shape.rank is not None
        wires[tensor.name] = graph.wire(_shape(tensor) if known else [None, None], tensor.dtype.name)
    gives = tuple(wires[t.name] for t in given)
    weights = tuple(_weights(scope, constant))
    code = next((op.type for op in scope.operations if op.type in _CODE), None)
    return Step(
        scope.name,
        scope.operations[-1].type,
        takes,
        gives,
        _runner(frozen, taken, given),
        scope,
        identity={"operations": [_described(op, own) for op in scope.operations]},
        weights=weights,
        flops=_flops(weights, gives),
        refusal=None if code is None else f"the model has the operation {code}, which runs code of its author's",
    )


def _leaves(tensor: Any, own: set[str]) -> bool:
    return any(consumer.name not in own for consumer in tensor.consumers())


def _weights(scope: _Scope, constant: set[str]) -> Iterator[_Weight]:
    for operation in scope.operations:
        for tensor in operation.inputs:
            if tensor.op.name in constant:
                value = tf.get_static_value(_source(tensor))
                if value is not None:
                    yield _Weight(np.asarray(value))


def _source(tensor: Any) -> Any:
    """Where a constant comes from, behind what only hands it on."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _described(operation: Any, own: set[str]) -> list[Any]:
    attributes = {key: str(value) for key, value in sorted(operation.node_def.attr.items()) if key not in _UNTYPED}
    inside = [tensor.name.split("/")[-1] for tensor in operation.inputs if tensor.op.name in own]
    return [operation.type, attributes, inside]


def _flops(weights: tuple[_Weight, ...], gives: tuple[Wire, ...]) -> float:
    kernels = sum(2 * math.prod(w.shape) for w in weights if len(w.shape) > 1)
    places = math.prod(n or 1 for n in gives[0].shape[:-1]) if gives else 1
    return float(kernels * places) if kernels else float(sum(math.prod(n or 1 for n in w.shape) for w in gives))


def _runner(frozen: Any, taken: list[Any], given: list[Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Runs some of the graph's operations; taken out of it when they are first run."""
    pruned: list[Any] = []

    def run(values: Sequence[Any]) -> Sequence[Any]:
        if not pruned:
            definition = frozen.graph.as_graph_def()
            whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
            named = [[whole.graph.get_tensor_by_name(t.name) for t in tensors] for tensors in (taken, given)]
            pruned.append(whole.prune(*named))
        made: Sequence[Any] = pruned[0](*values)
        return made

    return run
