"""Describes the computation of a SavedModel's operations, independent of the names that its export gave them.

Variables, large constants and tables are held as numbers in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework.attr_value_pb2 import AttrValue

from splitway.errors import ModelError

_TABLES = ("HashTableV2", "MutableHashTableV2")
_NAMES = ("config_proto", "container", "debug_name", "executor_type", "shared_name")
"""Attributes that say nothing of the values, as those that begin with `_` do."""


@dataclass(frozen=True)
class Held:
    """A variable, a constant or a table beside a graph, and what an export has to keep hold of."""

    keeper: Any
    dtype: str
    shape: tuple[int, ...]
    numpy: Callable[[], NDArray[Any]]
    """Its numbers."""


def table(keeper: Any, handle: Any) -> tuple[Held, ...]:
    """A table's keys and values, in the order of the keys. Raises ModelError if it cannot be read."""
    for keys, values in _kinds_of(keeper):
        try:
            exported = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=keys, Tvalues=values)
        except (tf.errors.OpError, TypeError):
            continue
        pairs = [np.asarray(each.numpy()) for each in exported]
        order = np.argsort(pairs[0], kind="stable")
        return tuple(held_array(array[order], keeper) for array in pairs)
    raise ModelError("it has a lookup table whose keys and values cannot be read: replace the table by a layer's own")


def _kinds_of(keeper: Any) -> Iterator[tuple[Any, Any]]:
    """The datatypes of a table's keys and values, as what makes it says: to ask with others ends the process."""
    for function in getattr(keeper._create_resource, "concrete_functions", ()):
        for operation in function.graph.get_operations():
            if operation.type in _TABLES:
                yield operation.get_attr("key_dtype"), operation.get_attr("value_dtype")


def held_array(array: NDArray[Any], keeper: Any = None) -> Held:
    """Numbers that are in memory."""
    return Held(keeper, tf.as_dtype(array.dtype).name, array.shape, lambda: plain(array))


def plain(value: NDArray[Any]) -> NDArray[Any]:
    """An array whose bytes are its values: strings, which numpy holds by reference, one after the other."""
    if value.dtype != object:
        return value
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in value.ravel()]
    return np.frombuffer(b"".join(len(t).to_bytes(8, "big") + t for t in texts), np.uint8)


class Described:
    """Describes parts of one graph; functions that it calls are described by their bodies.

    A variable is described as a constant of its value, and what reads it as what reads a constant: a model has the same
    feature space whether its weights were variables or constants.
    """

    def __init__(self, graph: Any, held: Mapping[str, tuple[Held, ...]]) -> None:
        self._held = held
        self._library = {each.signature.name: each for each in graph.as_graph_def().library.function}
        self._functions: dict[str, str] = {}

    def step(self, taken: Sequence[Any], given: Sequence[Any]) -> tuple[list[str], list[Held]]:
        """A hash of how each given tensor is computed, and the weights behind them, in the order of their use.

        Raises:
            ModelError: something behind them is neither taken nor a weight.
        """
        places = {tensor.name: at for at, tensor in enumerate(taken)}
        values: list[Held] = []

        def describe(tensor: Any, inputs: list[str]) -> str:
            operation = tensor.op
            if tensor.name in self._held or operation.type == "Const":
                held = self._held.get(tensor.name) or (_constant(operation),)
                return "".join(_known(each, values) for each in held)
            if operation.type == "Placeholder":
                raise ModelError(f"the value of {operation.name!r} is not in the model: its features have no identity")
            attributes = dict(operation.node_def.attr)
            if operation.type == "ReadVariableOp" or (operation.type == "Identity" and tensor.dtype == tf.resource):
                return _hash("Identity", self._attributes({"T": AttrValue(type=self._datatype(tensor))}), inputs, 0)
            if operation.type == "ResourceGather":
                return self._gathered(attributes, inputs, values)
            if attributes.get("T", AttrValue()).list.type:
                attributes |= self._of_loop(operation)
            return _hash(operation.type, self._attributes(attributes), inputs, tensor.value_index)

        known = {name: _hash("taken", at) for name, at in places.items()}
        found = _walk(given, lambda t: t.name, self._inputs, describe, known)
        return found, values

    def _inputs(self, tensor: Any) -> list[Any]:
        return [] if tensor.name in self._held else list(tensor.op.inputs)

    def _held_behind(self, tensor: Any) -> Held | None:
        """The variable that a tensor is or hands on, if it is one."""
        while tensor.dtype == tf.resource and tensor.name not in self._held:
            (tensor,) = tensor.op.inputs
        return self._held[tensor.name][0] if tensor.name in self._held else None

    def _datatype(self, tensor: Any) -> int:
        """A tensor's datatype; of a variable that of its values."""
        held = self._held_behind(tensor)
        return int(tf.as_dtype(held.dtype if held else tensor.dtype).as_datatype_enum)

    def _of_loop(self, operation: Any) -> dict[str, AttrValue]:
        """The attributes of a loop as if the values of variables went into it, and not the variables."""
        kinds, shapes = AttrValue(), AttrValue()
        shapes.CopyFrom(operation.node_def.attr["output_shapes"])
        for at, tensor in enumerate(operation.inputs):
            kinds.list.type.append(self._datatype(tensor))
            held = self._held_behind(tensor)
            if held is not None and at < len(shapes.list.shape):
                shapes.list.shape[at].CopyFrom(tf.TensorShape(held.shape).as_proto())
        return {"T": kinds} | ({"output_shapes": shapes} if shapes.list.shape else {})

    def _gathered(self, attributes: Any, inputs: list[str], values: list[Held]) -> str:
        """As GatherV2 is described, which gathers rows of a constant; its third input is the axis."""
        indices = attributes["Tindices"]
        axis = np.array(attributes["batch_dims"].i, tf.as_dtype(indices.type).as_numpy_dtype)
        own = {"Taxis": indices, "Tindices": indices, "Tparams": attributes["dtype"]}
        named = [[key, self._attribute(value)] for key, value in own.items()]
        batch = ["batch_dims", self._attribute(attributes["batch_dims"])]
        return _hash("GatherV2", [*named, batch], [*inputs, _known(held_array(axis), values)], 0)

    def _attributes(self, attributes: Any) -> list[list[Any]]:
        kept = sorted(key for key in attributes if not key.startswith("_") and key not in _NAMES)
        return [[key, self._attribute(attributes[key])] for key in kept]

    def _attribute(self, value: Any) -> Any:
        kind = value.WhichOneof("value")
        if kind == "func":
            return [self._function(value.func.name), self._attributes(value.func.attr)]
        if kind == "list" and value.list.func:
            return [[self._function(each.name), self._attributes(each.attr)] for each in value.list.func]
        if kind == "tensor":
            array = tf.make_ndarray(value.tensor)
            return [str(array.dtype), list(array.shape), hashlib.sha256(plain(array).tobytes()).hexdigest()]
        return value.SerializeToString(deterministic=True).hex()

    def _function(self, name: str) -> str:
        """A hash of a function's body."""
        if name not in self._functions:
            self._functions[name] = _hash("within itself")
            self._functions[name] = self._body(self._library[name])
        return self._functions[name]

    def _body(self, function: Any) -> str:
        nodes = {node.name: node for node in function.node_def}

        def describe(tensor: str, inputs: list[str]) -> str:
            node = nodes[tensor.split(":", maxsplit=1)[0]]
            if node.op == "ReadVariableOp":
                return _hash("Identity", [["T", self._attribute(node.attr["dtype"])]], inputs, ["output", "0"])
            return _hash(node.op, self._attributes(node.attr), inputs, tensor.split(":")[1:])

        def inputs(tensor: str) -> list[str]:
            return [name for name in nodes[tensor.split(":", maxsplit=1)[0]].input if not name.startswith("^")]

        known = {each.name: _hash("argument", at) for at, each in enumerate(function.signature.input_arg)}
        ends = [function.ret[each.name] for each in function.signature.output_arg]
        return _hash("function", _walk(ends, str, inputs, describe, known))


def _known(held: Held, values: list[Held]) -> str:
    values.append(held)
    return _hash("const", len(values), held.dtype, list(held.shape))


def _constant(operation: Any) -> Held:
    value = tf.make_ndarray(operation.node_def.attr["value"].tensor)
    return replace(held_array(plain(value)), dtype=operation.outputs[0].dtype.name)


def _walk(
    ends: Sequence[Any],
    name: Callable[[Any], str],
    inputs: Callable[[Any], list[Any]],
    describe: Callable[[Any, list[str]], str],
    known: dict[str, str],
) -> list[str]:
    """Describe tensors by what they are made of, each once, in an order that names do not change."""
    for end in ends:
        to_see = [end]
        while to_see:
            tensor = to_see[-1]
            if name(tensor) in known:
                to_see.pop()
                continue
            before = inputs(tensor)
            missing = [each for each in before if name(each) not in known]
            if missing:
                to_see += reversed(missing)
            else:
                known[name(tensor)] = describe(tensor, [known[name(each)] for each in before])
    return [known[name(end)] for end in ends]


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
