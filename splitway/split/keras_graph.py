"""From a Keras model to its graph, nested models opened.

Keras keeps this in nodes whose names are private; this is the only place that reads them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import keras

from splitway.errors import ModelError
from splitway.split.graph import Graph, Step, Wire
from splitway.split.identity import identity_of
from splitway.split.names import unique_names

_FREE = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Dropout)
"""Layers that compute nothing when they serve."""
_NOT_FUNCTIONAL = (
    "the model is not functional, so its layers are not known: write it with model.export('folder') and split that "
    "folder, or build it from keras.Input"
)


def read_keras(model: keras.Model) -> Graph:
    """Return the model's steps.

    Raises:
        ModelError: the model has no graph: it is subclassed, or was never built; or its batches have a fixed size.
    """
    inner = _functional(model)
    if inner is None:
        raise ModelError(_NOT_FUNCTIONAL)
    fixed = [tensor.shape[0] for tensor in inner.inputs if not tensor.shape or tensor.shape[0] is not None]
    if fixed:
        raise ModelError(f"the model takes batches of exactly {fixed[0]}: build it from keras.Input without batch_size")
    graph = Graph()
    reader = _Reader(graph)
    for tensor in inner.inputs:
        reader.add(tensor)
    takes = _names(model, "inputs", [tensor._keras_history.operation.name for tensor in inner.inputs])
    graph.inputs = unique_names([(n, reader.wires[id(t)]) for n, t in zip(takes, inner.inputs, strict=True)])
    reader.walk(inner, "")
    gives = _names(model, "outputs", inner.output_names)
    graph.outputs = unique_names([(n, reader.wires[id(t)]) for n, t in zip(gives, inner.outputs, strict=True)])
    return graph


def _names(model: keras.Model, end: str, layers: list[str]) -> list[str]:
    """What inputs or outputs are called: by their keys where the model was built with a dictionary, else by layer."""
    structure = getattr(model, f"_{end}_struct", None)
    return sorted(structure) if isinstance(structure, dict) and len(structure) == len(layers) else layers


def _functional(model: Any) -> Any:
    """The part of a model that has nodes and runs them as they stand; a Sequential model keeps it inside."""
    if isinstance(model, keras.Sequential):
        return model._functional if type(model).call is keras.Sequential.call else None
    plain = isinstance(model, keras.Model) and type(model).call is _functional_call()
    return model if plain and getattr(model, "_nodes_by_depth", None) else None


@cache
def _functional_call() -> Any:
    """How a functional model calls itself; looked up on one, for its class has no public name."""
    pixels = keras.Input((1,))
    return type(keras.Model(pixels, pixels)).call


class _Reader:
    """Walks over nodes and writes steps."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.wires: dict[int, Wire] = {}

    def add(self, tensor: Any) -> Wire:
        """A wire for a tensor that is made now."""
        masked = getattr(tensor, "_keras_mask", None) is not None
        wire = self._graph.wire(tensor.shape, str(tensor.dtype), masked=masked)
        self.wires[id(tensor)] = wire
        return wire

    def walk(self, model: Any, prefix: str) -> None:
        """Add the steps of one model, whose inputs are known."""
        for node in _nodes(model):
            if isinstance(node.operation, keras.layers.InputLayer):
                continue
            name = f"{prefix}{node.operation.name}"
            takes = tuple(self.wires[id(tensor)] for tensor in node.input_tensors)
            nested = _functional(node.operation)
            if nested is None or not _fits(nested, takes):
                gives = tuple(self.add(tensor) for tensor in node.output_tensors)
                self._graph.steps.append(_step(name, node, takes, gives))
            else:
                self._open(name, node, nested, takes)

    def _open(self, name: str, node: Any, nested: Any, takes: tuple[Wire, ...]) -> None:
        outside = self.wires
        self.wires = {id(tensor): wire for tensor, wire in zip(nested.inputs, takes, strict=True)}
        first = len(self._graph.steps)
        self.walk(nested, f"{name}/")
        made = [self.wires[id(tensor)] for tensor in nested.outputs]
        self.wires = outside
        self.wires |= {id(tensor): wire for tensor, wire in zip(node.output_tensors, made, strict=True)}
        steps = list(enumerate(self._graph.steps))[first:]
        self._graph.nested[name] = tuple(at for at, step in steps if any(wire in step.gives for wire in made))


def _nodes(model: Any) -> Iterator[Any]:
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def _fits(nested: Any, takes: tuple[Wire, ...]) -> bool:
    """Whether a nested model's steps, run on what it is given, do what calling it does: nothing is cast or masked."""
    return len(takes) == len(nested.inputs) and all(
        wire.dtype == str(tensor.dtype) and wire.shape == tuple(tensor.shape[1:]) and not wire.masked
        for wire, tensor in zip(takes, nested.inputs, strict=True)
    )


def _step(name: str, node: Any, takes: tuple[Wire, ...], gives: tuple[Wire, ...]) -> Step:
    layer = node.operation
    weights = tuple(getattr(layer, "weights", ()))
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
        parts=_parts(layer),
        refusal=_refusal(layer),
        whole_numbers_below=_whole_numbers_below(layer),
    )


def _runner(node: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:
    layer, places = node.operation, [id(tensor) for tensor in node.input_tensors]
    serving = {"training": False} if "training" in getattr(layer, "_call_context_args", ()) else {}

    def run(values: Sequence[Any]) -> Sequence[Any]:
        args, kwargs = node.arguments.fill_in(dict(zip(places, values, strict=True)))
        made: Sequence[Any] = keras.tree.flatten(layer(*args, **kwargs | serving))
        return made

    return run


def _with_all_inside(layer: Any) -> list[Any]:
    """A layer and those that it holds, however deep; an operation that is no layer holds none."""
    return list(getattr(layer, "_flatten_layers", lambda: [layer])())


def _parts(layer: Any) -> frozenset[str]:
    return frozenset(each.name for each in _with_all_inside(layer) if each is not layer)


def _refusal(layer: Any) -> str | None:
    for each in _with_all_inside(layer):
        if isinstance(each, keras.layers.Lambda):
            return f"layer {each.name!r} is a Lambda: it carries code, and code is not taken from a model file"
    return None


def _whole_numbers_below(layer: Any) -> int | None:
    """How many whole numbers from 0 a layer of words or classes has something for; None for other layers."""
    sizes = []
    for each in _with_all_inside(layer):
        if hasattr(each, "vocabulary_size"):
            sizes.append(int(each.vocabulary_size()))
        sizes += [n for name in ("input_dim", "num_tokens") if isinstance(n := getattr(each, name, None), int)]
    return min(sizes, default=None)


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
    places = shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1]
    return math.prod(n or 1 for n in places)
