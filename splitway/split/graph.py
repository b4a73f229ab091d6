"""A Keras model as steps: each use of a layer, in the order in which they run, nested models opened.

Keras keeps this in nodes whose names are private; this is the only place that reads them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from splitway.errors import ModelError


@dataclass(frozen=True)
class Wire:
    """A tensor between steps; rows of `shape`, without the batch dimension."""

    number: int
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def bytes_per_row(self) -> int | None:
        """None if rows have no fixed shape, or the datatype no fixed size."""
        if None in self.shape or self.dtype == "string":
            return None
        itemsize = 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize
        return math.prod(n or 0 for n in self.shape) * itemsize


@dataclass(frozen=True)
class Step:
    """One use of a layer. The name of a layer in a nested model begins with the model's: `backbone/conv1`."""

    name: str
    layer: Any
    takes: tuple[Wire, ...]
    gives: tuple[Wire, ...]


@dataclass
class Graph:
    """All steps in the order in which they can run, and what goes in and comes out."""

    inputs: list[Wire] = field(default_factory=list)
    outputs: list[Wire] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    _wires: int = 0

    def wire(self, tensor: Any) -> Wire:
        """A wire for a tensor that has none yet."""
        self._wires += 1
        return Wire(self._wires, tuple(tensor.shape[1:]), str(tensor.dtype))

    def uses_of(self, layer: Any) -> int:
        """How many steps run this layer."""
        return sum(step.layer is layer for step in self.steps)

    def needed_for(self, at_step: int) -> set[int]:
        """Positions of all steps that must have run for the outputs of the one at a position, its own included."""
        maker = {wire.number: at for at, each in enumerate(self.steps) for wire in each.gives}
        found: set[int] = set()
        to_see = [at_step]
        while to_see:
            at = to_see.pop()
            if at not in found:
                found.add(at)
                to_see += [maker[wire.number] for wire in self.steps[at].takes if wire.number in maker]
        return found


def read_graph(model: keras.Model) -> Graph:
    """Return the model's steps.

    Raises:
        ModelError: the model has no graph: it is subclassed, or was never built.
    """
    inner = _functional(model)
    if inner is None:
        raise ModelError("the model is not functional: build it from keras.Input to be able to cut it")
    graph = Graph()
    wires: dict[int, Wire] = {}
    for tensor in inner.inputs:
        wires[id(tensor)] = graph.wire(tensor)
        graph.inputs.append(wires[id(tensor)])
    _walk(inner, "", wires, graph)
    graph.outputs = [wires[id(tensor)] for tensor in inner.outputs]
    return graph


def _functional(model: Any) -> Any:
    """The part of a model that has nodes; a Sequential model keeps it inside."""
    inner = getattr(model, "_functional", None) or model
    return inner if getattr(inner, "_nodes_by_depth", None) else None


def _nodes(model: Any) -> Iterator[Any]:
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from model._nodes_by_depth[depth]


def _walk(model: Any, prefix: str, wires: dict[int, Wire], graph: Graph) -> None:
    """Add the steps of one model, whose inputs are known, to the graph."""
    for node in _nodes(model):
        if isinstance(node.operation, keras.layers.InputLayer):
            continue
        takes = tuple(wires[id(tensor)] for tensor in node.input_tensors)
        name = f"{prefix}{node.operation.name}"
        nested = _functional(node.operation) if isinstance(node.operation, keras.Model) else None
        if nested is None:
            wires |= {id(tensor): graph.wire(tensor) for tensor in node.output_tensors}
            gives = tuple(wires[id(tensor)] for tensor in node.output_tensors)
            graph.steps.append(Step(name, node.operation, takes, gives))
        else:
            inside = {id(tensor): wire for tensor, wire in zip(nested.inputs, takes, strict=True)}
            _walk(nested, f"{name}/", inside, graph)
            for outer, inner in zip(node.output_tensors, nested.outputs, strict=True):
                wires[id(outer)] = inside[id(inner)]
