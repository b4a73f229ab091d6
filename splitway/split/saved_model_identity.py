"""What the operations of a SavedModel compute, apart from the names that its export happened to give them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from splitway.errors import ModelError

_NAMES = ("config_proto", "container", "debug_name", "executor_type", "shared_name")
"""Attributes that say nothing of the values, as those that begin with `_` do."""


class Described:
    """Describes parts of one frozen graph; functions that it calls are described by their bodies."""

    def __init__(self, graph: Any) -> None:
        self._library = {each.signature.name: each for each in graph.as_graph_def().library.function}
        self._functions: dict[str, str] = {}

    def step(self, taken: Sequence[Any], given: Sequence[Any]) -> tuple[list[str], list[NDArray[Any]]]:
        """A hash of how each given tensor is computed, and the constants behind them, in the order of their use.

        Raises:
            ModelError: something behind them is neither taken nor a constant.
        """
        places = {tensor.name: at for at, tensor in enumerate(taken)}
        values: list[NDArray[Any]] = []

        def describe(tensor: Any, inputs: list[str]) -> str:
            operation = tensor.op
            if operation.type == "Placeholder":
                raise ModelError(f"the value of {operation.name!r} is not in the model: its features have no identity")
            if operation.type == "Const":
                value = _plain(tf.make_ndarray(operation.node_def.attr["value"].tensor))
                values.append(value)
                return _hash("const", len(values), tensor.dtype.name, list(value.shape))
            attributes = self._attributes(operation.node_def.attr)
            return _hash(operation.type, attributes, inputs, tensor.value_index)

        known = {name: _hash("taken", at) for name, at in places.items()}
        found = _walk(given, lambda t: t.name, lambda t: list(t.op.inputs), describe, known)
        return found, values

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
            return [str(array.dtype), list(array.shape), hashlib.sha256(_plain(array).tobytes()).hexdigest()]
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
            return _hash(node.op, self._attributes(node.attr), inputs, tensor.split(":")[1:])

        def inputs(tensor: str) -> list[str]:
            return [name for name in nodes[tensor.split(":", maxsplit=1)[0]].input if not name.startswith("^")]

        known = {each.name: _hash("argument", at) for at, each in enumerate(function.signature.input_arg)}
        ends = [function.ret[each.name] for each in function.signature.output_arg]
        return _hash("function", _walk(ends, str, inputs, describe, known))


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


def _plain(value: NDArray[Any]) -> NDArray[Any]:
    """An array whose bytes are its values: strings, which numpy holds by reference, one after the other."""
    if value.dtype != object:
        return value
    texts = [text if isinstance(text, bytes) else str(text).encode() for text in value.ravel()]
    return np.frombuffer(b"".join(len(t).to_bytes(8, "big") + t for t in texts), np.uint8)


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
