"""Reads the graph of a Keras model; nested models become steps of their own.

Keras keeps the graph in private nodes, which are read here alone. `tests/test_private_names.py` lists the names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import keras

from splitway.errors import ModelError
from splitway.splitter.graph import Graph, Step, Wire, unique_names
from splitway.splitter.identity import identity_of
from splitway.splitter.readers.foreign import count_of, looking_at, name_of, shown, tried
from splitway.splitter.readers.plain import is_plain_layer

_FREE = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Identity,
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
)
"""Layers that compute nothing when they serve."""
_NOT_FUNCTIONAL = (
    "the model is not functional, so its layers are not known: write it with model.export('folder') and split that "
    "folder, or build it from keras.Input"
)
_NOT_BUILT = (
    "the Sequential model was never built, so the shape of its input is not known: begin it with keras.Input, or call "
    "it once, and save it again"
)
_REFUSAL = "layer {!r} is a Lambda: it carries code, and code in model files is not accepted"


def read_keras(model: keras.Model) -> Graph:
    """Return the model's steps.

    Raises ModelError for a model without a graph, which is subclassed or was never built; for batches of a fixed size;
    or for a layer that fails while it is looked at.
    """
    with looking_at(model):
        inner = _functional(model)
        if inner is None:
            raise ModelError(_NOT_BUILT if _is_plain_sequential(model) else _NOT_FUNCTIONAL)
        fixed = [tensor.shape[0] for tensor in inner.inputs if not tensor.shape or tensor.shape[0] is not None]
        if fixed:
            raise ModelError(
                f"the model takes batches of exactly {fixed[0]}: build it from keras.Input without batch_size"
            )
        reader = _KerasReader()
        graph, wires = reader.graph, reader.wires
        takes = _names(model, "inputs", [tensor._keras_history.operation.name for tensor in inner.inputs])
        graph.inputs = unique_names([(n, reader.add(t)) for n, t in zip(takes, inner.inputs, strict=True)])
        reader.walk(inner, "")
        gives = _names(model, "outputs", inner.output_names)
        graph.outputs = unique_names([(n, wires[id(t)]) for n, t in zip(gives, inner.outputs, strict=True)])
        return graph


def _names(model: keras.Model, end: str, layers: list[str]) -> list[str]:
    """The names of inputs or outputs: their keys if the model was built with a dictionary, else their layers' names."""
    structure = getattr(model, f"_{end}_struct", None)
    return sorted(structure) if isinstance(structure, dict) and len(structure) == len(layers) else layers


def _is_plain_sequential(model: Any) -> bool:
    return isinstance(model, keras.Sequential) and type(model).call is keras.Sequential.call


def _functional(model: Any) -> Any:
    """The part of a model that has nodes and runs them as they stand; a Sequential model keeps it inside."""
    if isinstance(model, keras.Sequential):
        return model._functional if _is_plain_sequential(model) else None
    plain = isinstance(model, keras.Model) and type(model).call is _functional_call()
    return model if plain and getattr(model, "_nodes_by_depth", None) else None


@cache
def _functional_call() -> Any:
    """The `call` of a functional model. It is looked up on an instance, because the class has no public name."""
    pixels = keras.Input((1,))
    return type(keras.Model(pixels, pixels)).call


class _KerasReader:
    """Walks over nodes and writes steps."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.wires: dict[int, Wire] = {}

    def add(self, tensor: Any) -> Wire:
        """A wire for a tensor that is made now."""
        masked = getattr(tensor, "_keras_mask", None) is not None
        wire = self.graph.wire(tensor.shape, str(tensor.dtype), masked=masked)
        self.wires[id(tensor)] = wire
        return wire

    def walk(self, model: Any, prefix: str) -> None:
        """Add the steps of one model, whose inputs are known."""
        for node in (each for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True) for each in nodes):
            with looking_at(node.operation):
                if not isinstance(node.operation, keras.layers.InputLayer):
                    self._add_step(node, prefix)

    def _add_step(self, node: Any, prefix: str) -> None:
        name = f"{prefix}{name_of(node.operation)}"
        takes = tuple(self.wires[id(tensor)] for tensor in node.input_tensors)
        nested = _functional(node.operation)
        if nested is None or not _fits(nested, takes):
            gives = tuple(self.add(tensor) for tensor in node.output_tensors)
            self.graph.steps.append(_step(name, node, takes, gives))
        else:
            self._open(name, node, nested, takes)

    def _open(self, name: str, node: Any, nested: Any, takes: tuple[Wire, ...]) -> None:
        outside = self.wires
        self.wires = {id(tensor): wire for tensor, wire in zip(nested.inputs, takes, strict=True)}
        first = len(self.graph.steps)
        self.walk(nested, f"{name}/")
        made = [self.wires[id(tensor)] for tensor in nested.outputs]
        self.wires = outside
        self.wires |= {id(tensor): wire for tensor, wire in zip(node.output_tensors, made, strict=True)}
        steps = list(enumerate(self.graph.steps))[first:]
        self.graph.nested[name] = tuple(at for at, step in steps if any(wire in step.gives for wire in made))


def _fits(nested: Any, takes: tuple[Wire, ...]) -> bool:
    """Whether a nested model's steps, run on what it is given, do what calling it does: nothing is cast or masked."""
    return len(takes) == len(nested.inputs) and all(
        wire.dtype == str(tensor.dtype) and wire.shape == tuple(tensor.shape[1:]) and not wire.masked
        for wire, tensor in zip(takes, nested.inputs, strict=True)
    )


def _step(name: str, node: Any, takes: tuple[Wire, ...], gives: tuple[Wire, ...]) -> Step:
    layer = node.operation
    inside = _with_all_inside(layer)
    weights = _weights(layer, inside)
    return Step(
        name,
        type(layer).__name__,
        takes,
        gives,
        _runner(node),
        layer,
        identity=identity_of(layer, [node.arguments.args, node.arguments.kwargs], node.input_tensors),
        weights=weights,
        flops=_flops(layer, weights, takes, gives),
        parts=frozenset(map(name_of, inside[1:])),
        refusal=next(
            (_REFUSAL.format(name_of(each)) for each in inside if isinstance(each, keras.layers.Lambda)), None
        ),
        plain=is_plain_layer(inside),
        tells=tuple(words for each in inside if (words := _words(each))),
    )


def _weights(layer: Any, inside: list[Any]) -> tuple[Any, ...]:
    """A layer's variables; an operation without a layer has none. Raises ModelError for weights of another kind."""
    if not isinstance(layer, keras.layers.Layer):
        return ()
    weights: tuple[Any, ...] = ()
    for each in reversed(inside):  # the innermost first, which is then named if it fails
        with looking_at(each):
            weights = tuple(each.weights)
    odd = next((each for each in weights if not isinstance(each, keras.Variable)), None)
    if odd is not None:
        raise ModelError(f"{shown(layer)} has a {type(odd).__name__} among its weights, which is not a Keras variable")
    return weights


def _runner(node: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:
    layer, places = node.operation, [id(tensor) for tensor in node.input_tensors]
    serving = {"training": False} if "training" in getattr(layer, "_call_context_args", ()) else {}

    def run(values: Sequence[Any]) -> Sequence[Any]:
        args, kwargs = node.arguments.fill_in(dict(zip(places, values, strict=True)))
        with looking_at(layer, "run"):
            made: Sequence[Any] = keras.tree.flatten(layer(*args, **kwargs | serving))
        return made

    return run


def _with_all_inside(layer: Any) -> list[Any]:
    """A layer and the layers inside it, at any depth; an operation without a layer holds none."""
    found = [layer]
    for each in found:
        if isinstance(each, keras.layers.Layer):
            with looking_at(each):
                below = each._flatten_layers(include_self=False, recursive=False)
                new = [inner for inner in below if not any(inner is known for known in found)]
                found += [inner for inner in new if isinstance(inner, keras.layers.Layer)]
    return found


def _words(layer: Any) -> Sequence[int]:
    """The whole numbers that a layer's table has entries for; none for a layer without one."""
    if isinstance(layer, keras.layers.IntegerLookup | keras.layers.StringLookup) and not tried(lambda: layer.invert):
        known = tried(lambda: layer.get_vocabulary(include_special_tokens=False))
        words = tried(lambda: [int(word) for word in known or ()]) or []
        unknown = [max(words) + 1] if words and tried(lambda: layer.num_oov_indices) else []
        return tuple(words + unknown) if isinstance(layer, keras.layers.IntegerLookup) else ()
    sizes = [count_of(layer, name) for name in ("vocabulary_size", "input_dim", "num_tokens")]
    return range(min((size for size in sizes if size is not None), default=0))


def _flops(layer: Any, weights: tuple[Any, ...], takes: tuple[Wire, ...], gives: tuple[Wire, ...]) -> float:
    """Estimate the floating-point operations of one row: two for each use of a weight, else one for each output."""
    if isinstance(layer, _FREE):
        return 0.0
    kernels = [weight.shape for weight in weights if len(weight.shape) > 1]
    if not kernels or isinstance(layer, keras.layers.Embedding):
        return float(sum(math.prod(n or 1 for n in wire.shape) for wire in gives))
    return float(sum(2 * math.prod(shape) for shape in kernels) * _uses_of_kernels(layer, takes, gives))


def _uses_of_kernels(layer: Any, takes: tuple[Wire, ...], gives: tuple[Wire, ...]) -> int:
    """How often a layer's kernels are applied to one row: at each place of its output, or of its input."""
    if isinstance(layer, keras.layers.RNN):
        return takes[0].shape[0] or 1
    transposed = isinstance(layer, keras.layers.Conv1DTranspose | keras.layers.Conv2DTranspose)
    shape = (takes if transposed else gives)[0].shape
    places = shape[1:] if tried(lambda: str(layer.data_format)) == "channels_first" else shape[:-1]
    return math.prod(n or 1 for n in places)
