"""The operations of a SavedModel as one flat graph, whose variables, tables and large constants stay outside of it.

What stays outside is in memory once, however many parts are taken out of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.ops.handle_data_util import copy_handle_data

from splitway.errors import ModelError
from splitway.splitter.readers.saved_model_held import Held, held_array, table
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
        behind = self._operations_behind([graph.get_tensor_by_name(name) for name in gives], set(takes))
        needed = [name for name in behind if name in self.outside]
        definition = graph.as_graph_def()
        _set_nodes(definition.node, [node for node in definition.node if node.name in {*behind} - {*needed}])
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

    def _operations_behind(self, ends: Iterable[Any], known: set[str]) -> list[str]:
        found: dict[str, None] = {}
        to_see = list(ends)
        while to_see:
            tensor = to_see.pop()
            if tensor.name not in known and tensor.op.name not in found:
                found[tensor.op.name] = None
                to_see += tensor.op.inputs
        return list(found)


def flatten(function: Any, loaded: Any) -> FlatGraph:
    """Return a signature's operations as one graph.

    What only has to run before something else is left away, such as what counts or draws random numbers: it has no part
    in the values, for all that reaches out of the model has been refused.

    Raises:
        ModelError: it uses a resource that is neither a variable nor a table.
    """
    captures = dict(_captured(function, loaded))
    definition = _inlined(function)
    used = _taken(definition)
    given = {name: each for name, each in (captures | dict(_large_constants(definition))).items() if name in used}
    _drop(definition, {*captures, *given})
    inputs = function.inputs[: len(function.inputs) - len(captures)]
    flat = _imported(definition, inputs, [tensor.name for tensor in function.outputs], given)
    dtypes = {name: held[0].dtype for name, held in flat.held.items()}
    disturbances = find_disturbances(flat.wrapped.graph, flat.inputs, flat.outputs, dtypes)
    if not disturbances:
        return flat
    instead = {each.gives: each.takes for each in disturbances}
    outputs = [_last(tensor.name, instead) for tensor in function.outputs]
    _rewire(definition, instead)
    needed = _needed({node.name: node for node in definition.node}, outputs) | {tensor.op.name for tensor in inputs}
    _set_nodes(definition.node, [node for node in definition.node if node.name in needed])
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
    for nodes in (definition.node, *(each.node_def for each in definition.library.function)):
        for node in nodes:
            _set(node.input, [name for name in node.input if not name.startswith("^")])
    for each in definition.library.function:
        each.control_ret.clear()
        del each.signature.control_output[:]
        needed = _needed({node.name: node for node in each.node_def}, each.ret.values())
        _set_nodes(each.node_def, [node for node in each.node_def if node.name in needed])


def _rename_functions(definition: Any) -> None:
    """Give changed functions names of their own: TensorFlow knows each name once in a process."""
    names = {each.signature.name for each in definition.library.function}
    definition.library.ClearField("gradient")
    for function in definition.library.function:
        function.signature.name += _PURE
    for nodes in (definition.node, *(each.node_def for each in definition.library.function)):
        for node in nodes:
            if node.op in names:
                node.op += _PURE
            called = (each for value in node.attr.values() for each in (value.func, *value.list.func))
            for each in called:
                if each.name in names:
                    each.name += _PURE


def _needed(nodes: dict[str, Any], ends: Iterable[str]) -> set[str]:
    """Names of the nodes that make some tensors."""
    found: set[str] = set()
    to_see = list(ends)
    while to_see:
        name = to_see.pop().split(":")[0]
        if name in nodes and name not in found:
            found.add(name)
            to_see += nodes[name].input
    return found


def _set(names: Any, kept: Sequence[str]) -> None:
    if len(kept) < len(names):
        del names[:]
        names.extend(kept)


def _set_nodes(nodes: Any, kept: Sequence[Any]) -> None:
    if len(kept) < len(nodes):
        copies = [type(node).FromString(node.SerializeToString()) for node in kept]
        del nodes[:]
        nodes.extend(copies)


def _taken(definition: Any) -> set[str]:
    return {name.split(":")[0] for node in definition.node for name in node.input}


def _large_constants(definition: Any) -> Iterator[tuple[str, _Given]]:
    for node in definition.node:
        content = node.attr["value"].tensor if node.op == "Const" else None
        if content is not None and len(content.tensor_content) >= _LARGE:
            variable = tf.Variable(tf.make_ndarray(content), trainable=False, name="constant")
            yield node.name, _Given(variable.handle, (_of_variable(variable),), is_read=True)


def _drop(definition: Any, names: set[str]) -> None:
    _set_nodes(definition.node, [node for node in definition.node if node.name not in names])
