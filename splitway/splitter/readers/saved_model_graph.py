"""The operations of a SavedModel as one flat graph, whose variables, tables and large constants stay outside of it.

What stays outside is in memory once, however many parts are taken out of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.ops.handle_data_util import copy_handle_data

from splitway.errors import ModelError
from splitway.splitter.graph import reached
from splitway.splitter.readers.saved_model_identity import Held, held_array, table
from splitway.splitter.readers.saved_model_random import find_disturbances

_LARGE = 1024
"""Bytes from which a constant is kept outside."""
_PURE = "_pure"
"""Behind the names of functions without side effects."""


@dataclass(frozen=True)
class _Given:
    """The inputs of a graph."""

    handle: Any
    held: tuple[Held, ...]
    is_read: bool = False
    """Whether its value is what the graph takes, and not the handle."""


@dataclass(frozen=True)
class FlatGraph:
    """A graph without calls that could be inlined, and without side effects."""

    wrapped: Any
    """The graph as a function from which parts can be pruned."""
    inputs: list[Any]
    outputs: list[Any]
    held: dict[str, tuple[Held, ...]]
    """What stays outside, by the name of the tensor that brings it in: a table's keys and values, else one."""
    outside: dict[str, Any]
    """The handles of it, by the name of the operation that stands for each."""
    left_out: tuple[str, ...] = ()
    """Scopes that drew random numbers, and hand on what they take instead."""

    def part(self, takes: Sequence[str], gives: Sequence[str]) -> Callable[..., list[Any]]:
        """What lies between tensors of these names, as a function of those that it takes."""
        graph = self.wrapped.graph

        def makers(tensors: Iterable[Any]) -> list[Any]:
            return [tensor.op for tensor in tensors if tensor.name not in takes]

        wanted = makers(graph.get_tensor_by_name(name) for name in gives)
        behind = reached(wanted, lambda operation: makers(operation.inputs), lambda operation: operation.name)
        needed = [name for name in behind if name in self.outside]
        definition = graph.as_graph_def()
        _keep(definition.node, behind.keys() - {*needed})
        ends = [graph.get_tensor_by_name(name) for name in (*takes, *(f"{name}:0" for name in needed))]

        def import_part(*values: Any) -> list[Any]:
            for tensor, value in zip(ends, values, strict=True):
                if tensor.dtype == tf.resource:
                    copy_handle_data(tensor, value)
            given = {tensor.name: value for tensor, value in zip(ends, values, strict=True)}
            used = {name if ":" in name else f"{name}:0" for node in definition.node for name in node.input}
            ours = {name: value for name, value in given.items() if name in used}
            found: list[Any] = tf.graph_util.import_graph_def(definition, ours, list(gives), name="")
            return found

        signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in ends]
        part = tf.compat.v1.wrap_function(import_part, signature)
        return lambda *values: part(*values, *(self.outside[name] for name in needed))


def flatten(function: Any, loaded: Any) -> FlatGraph:
    """Return a signature's operations as one graph. Raises ModelError for a resource that is no variable and no table.

    What only has to run before something else is left away, such as what counts or draws random numbers: it has no part
    in the values, for all that reaches out of the model has been refused.
    """
    captures = dict(_captured(function, loaded))
    definition = _inlined(function)
    used = _taken(definition)
    given = {name: each for name, each in (captures | dict(_large_constants(definition))).items() if name in used}
    _keep(definition.node, {node.name for node in definition.node} - {*captures, *given})
    inputs = function.inputs[: len(function.inputs) - len(captures)]
    flat = _imported(definition, inputs, [tensor.name for tensor in function.outputs], given)
    dtypes = {name: held[0].dtype for name, held in flat.held.items()}
    disturbances = find_disturbances(flat.wrapped.graph, flat.inputs, flat.outputs, dtypes)
    if not disturbances:
        return flat
    instead = {each.gives.name: each.takes.name for each in disturbances}
    outputs = [_last(tensor.name, instead) for tensor in function.outputs]
    _rewire(definition, instead)
    _keep(definition.node, {*_needed(definition.node, outputs), *(tensor.op.name for tensor in inputs)})
    given = {name: each for name, each in given.items() if name in _taken(definition)}
    quiet = _imported(definition, inputs, outputs, given)
    return replace(quiet, left_out=tuple(each.scope for each in disturbances))


def _imported(definition: Any, inputs: Sequence[Any], outputs: Sequence[str], given: Mapping[str, _Given]) -> FlatGraph:
    brought: dict[str, Any] = {}

    def import_all() -> None:
        brought.update({name: _stand_in(each) for name, each in given.items()})
        tensors = {f"{name}:0": tensor for name, tensor in brought.items()}
        tf.graph_util.import_graph_def(definition, tensors, name="")

    wrapped = tf.compat.v1.wrap_function(import_all, [])
    find = wrapped.graph.get_tensor_by_name
    return FlatGraph(
        wrapped,
        [_of_shape(find(tensor.name), tensor.shape) for tensor in inputs],
        [find(name) for name in outputs],
        {brought[name].name: each.held for name, each in given.items()},
        {_behind(brought[name]).op.name: each.handle for name, each in given.items()},
    )


def _rewire(definition: Any, instead: Mapping[str, str]) -> None:
    """Give what takes some tensors others, by their names."""
    for node in definition.node:
        for at, name in enumerate(node.input):
            whole = name if ":" in name else f"{name}:0"
            if whole in instead:
                node.input[at] = _last(whole, instead)


def _last(name: str, instead: Mapping[str, str]) -> str:
    while name in instead:
        name = instead[name]
    return name


def _stand_in(given: _Given) -> Any:
    """A tensor for what comes from outside: a resource as it is, or the value of a constant."""
    if given.handle.dtype != tf.resource:
        return tf.compat.v1.placeholder(given.handle.dtype, given.handle.shape)
    resource = tf.compat.v1.placeholder(tf.resource, ())
    copy_handle_data(given.handle, resource)
    return tf.raw_ops.ReadVariableOp(resource=resource, dtype=given.held[0].dtype) if given.is_read else resource


def _behind(tensor: Any) -> Any:
    return tensor.op.inputs[0] if tensor.op.inputs else tensor


def _of_shape(tensor: Any, shape: Any) -> Any:
    tensor.set_shape(shape)
    return tensor


def _captured(function: Any, loaded: Any) -> Iterator[tuple[str, _Given]]:
    """A function's captured inputs, by the name of the operation that stands for each."""
    keepers = _keepers(loaded)
    for outside, inside in function.graph.captures:
        keeper = keepers.get(id(outside))
        if isinstance(keeper, tf.Variable):
            held: tuple[Held, ...] = (_of_variable(keeper),)
        elif keeper is not None:
            held = table(keeper, outside)
        elif outside.dtype == tf.resource:
            raise ModelError(f"it uses the resource {inside.op.name!r}, which is neither a variable nor a table")
        else:
            held = (held_array(np.asarray(outside.numpy()), outside),)
        yield inside.op.name, _Given(outside, held)


def _of_variable(variable: Any) -> Held:
    return Held(variable, variable.dtype.name, tuple(variable.shape), variable.numpy)


def _keepers(loaded: Any) -> dict[int, Any]:
    """The objects of a loaded model that own a resource, by the identity of its handle."""
    found: dict[int, Any] = {}
    for each in tf.train.TrackableView(loaded).descendants():
        handle = each.handle if isinstance(each, tf.Variable) else getattr(each, "resource_handle", None)
        if handle is not None:
            found[id(handle)] = each
    return found


def _inlined(function: Any) -> Any:
    """A signature's operations, calls inlined, side effects gone; what it captures is among the inputs."""
    definition = function.graph.as_graph_def()
    _drop_side_effects(definition)
    _rename_functions(definition)
    imported = partial(tf.graph_util.import_graph_def, definition, name="")
    ends = ([tensor.name for tensor in tensors] for tensors in (function.inputs, function.outputs))
    pruned = tf.compat.v1.wrap_function(imported, []).prune(*ends)
    converted = convert_variables_to_constants_v2(pruned, lower_control_flow=False, aggressive_inlining=True)
    flat = converted.graph.as_graph_def()
    _drop_side_effects(flat)
    return flat


def _drop_side_effects(definition: Any) -> None:
    for node in _every_node(definition):
        values = [name for name in node.input if not name.startswith("^")]
        del node.input[:]
        node.input.extend(values)
    for each in definition.library.function:
        each.control_ret.clear()
        del each.signature.control_output[:]
        _keep(each.node_def, _needed(each.node_def, each.ret.values()))


def _every_node(definition: Any) -> Iterator[Any]:
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def _rename_functions(definition: Any) -> None:
    """Give changed functions names of their own: TensorFlow knows each name once in a process."""
    names = {each.signature.name for each in definition.library.function}
    definition.library.ClearField("gradient")
    for function in definition.library.function:
        function.signature.name += _PURE
    for node in _every_node(definition):
        if node.op in names:
            node.op += _PURE
        for called in (each for value in node.attr.values() for each in (value.func, *value.list.func)):
            if called.name in names:
                called.name += _PURE


def _needed(nodes: Iterable[Any], ends: Iterable[str]) -> Collection[str]:
    """Names of the nodes that make some tensors."""
    known = {node.name: node for node in nodes}

    def makers(tensors: Iterable[str]) -> list[Any]:
        return [known[name] for tensor in tensors if (name := tensor.split(":")[0]) in known]

    return reached(makers(ends), lambda node: makers(node.input), lambda node: node.name)


def _keep(nodes: Any, names: Collection[str]) -> None:
    """Remove all nodes but those of these names."""
    for at in reversed(range(len(nodes))):
        if nodes[at].name not in names:
            del nodes[at]


def _taken(definition: Any) -> set[str]:
    return {name.split(":")[0] for node in definition.node for name in node.input}


def _large_constants(definition: Any) -> Iterator[tuple[str, _Given]]:
    for node in definition.node:
        content = node.attr["value"].tensor if node.op == "Const" else None
        if content is not None and len(content.tensor_content) >= _LARGE:
            variable = tf.Variable(tf.make_ndarray(content), trainable=False, name="constant")
            yield node.name, _Given(variable.handle, (_of_variable(variable),), is_read=True)
