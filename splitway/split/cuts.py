"""Every cut that a model allows, what crosses it, and which is best for a head that changes often.

A cut after a layer leaves in the backbone whatever that layer needs, and in the head everything else. What crosses are
the tensors made in the one and taken in the other: one after most layers, several in the middle of a skip connection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras

from splitway.split.graph import Graph, Step, Wire, read_graph

HOP_MS = 1.0
"""One more hop through the gateway with next to nothing in it: `network` of the classifier's hop, which carries 5 KB
(docs/operations.md, `splitway bench --explain`)."""
MS_PER_KB = 0.006
"""What each further kilobyte adds: the same for the extractor's hop, which carries 42 KB."""
_FREE = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Dropout)
"""Layers that compute nothing when they serve."""
FLOPS_PER_MS = 1.6e8
"""Of one client's inference: EfficientNet-Lite0's 0.8 GFLOPs in 4.9 ms (the same page)."""


@dataclass(frozen=True)
class CutOption:
    """A cut after one layer.

    Args:
        layer: its name, with those of the nested models that it is in.
        tensors: what crosses.
        bytes_per_row: of all of them.
        flops_before, parameters_before: the backbone's share of the whole, from 0 to 1. FLOPs are estimated from
            kernels and output shapes.
        head_ms: what one more head on the same features would cost a request: the wire and the head's own work.
        why_not: why it cannot be cut here; None if it can.
    """

    layer: str
    kind: str
    tensors: tuple[Wire, ...]
    bytes_per_row: int
    flops_before: float
    parameters_before: float
    wire_ms: float
    head_ms: float
    why_not: str | None

    @property
    def leaves_something_to_train(self) -> bool:
        """Whether the head has parameters of its own; one without is no head that anybody would replace."""
        return self.parameters_before < 1


def find_cuts(model: keras.Model) -> list[CutOption]:
    """Return a cut for each layer, in the order in which they run. Raises ModelError for a model without a graph."""
    graph = read_graph(model)
    work = [flops(step) for step in graph.steps]
    parameters = _parameters(graph, set(range(len(graph.steps))))
    never = _why_never(graph)
    return [_option(graph, at, work, parameters, never) for at in range(len(graph.steps))]


def ranked(cuts: list[CutOption]) -> list[CutOption]:
    """Those that can be made, best first: where one more head on the same features costs least.

    A head without parameters comes last, whatever it costs. Of equal ones the earlier layer is better: what makes no
    difference, such as dropout, belongs to the head that was trained with it.
    """
    possible = [cut for cut in cuts if cut.why_not is None]
    return sorted(possible, key=lambda cut: (not cut.leaves_something_to_train, round(cut.head_ms, 6)))


def best_single(cuts: list[CutOption]) -> CutOption | None:
    """The best cut that `split` makes today: one float32 tensor, in no nested model, a head to train."""
    fit = (
        cut
        for cut in ranked(cuts)
        if len(cut.tensors) == 1 and cut.tensors[0].dtype == "float32" and "/" not in cut.layer
    )
    return next((cut for cut in fit if cut.leaves_something_to_train), None)


def flops(step: Step) -> float:
    """Estimate the floating-point operations of one row: two for each use of a weight, else one for each output."""
    if isinstance(step.layer, _FREE):
        return 0.0
    kernels = [weight.shape for weight in getattr(step.layer, "weights", ()) if len(weight.shape) > 1]
    if not kernels or isinstance(step.layer, keras.layers.Embedding):
        return float(sum(math.prod(n or 1 for n in wire.shape) for wire in step.gives))
    return float(sum(2 * math.prod(shape) for shape in kernels) * _positions(step))


def _positions(step: Step) -> int:
    """How often a layer's kernels are applied to one row: at each place of its output, or of its input."""
    if isinstance(step.layer, keras.layers.RNN):
        return step.takes[0].shape[0] or 1
    transposed = isinstance(step.layer, keras.layers.Conv1DTranspose | keras.layers.Conv2DTranspose)
    shape = (step.takes if transposed else step.gives)[0].shape
    places = shape[1:] if getattr(step.layer, "data_format", None) == "channels_first" else shape[:-1]
    return math.prod(n or 1 for n in places)


def _parameters(graph: Graph, positions: set[int]) -> int:
    layers = {id(graph.steps[at].layer): graph.steps[at].layer for at in positions}
    return sum(math.prod(w.shape) for layer in layers.values() for w in getattr(layer, "weights", ()))


def _option(graph: Graph, at_step: int, work: list[float], parameters: int, never: str | None) -> CutOption:
    step = graph.steps[at_step]
    before = graph.needed_for(at_step)
    after = set(range(len(graph.steps))) - before
    tensors = _crossing(graph, after)
    size = sum(wire.bytes_per_row or 0 for wire in tensors)
    wire_ms = HOP_MS + size / 1e3 * MS_PER_KB
    return CutOption(
        step.name,
        type(step.layer).__name__,
        tensors,
        size,
        sum(work[at] for at in before) / max(1.0, sum(work)),
        _parameters(graph, before) / max(1, parameters),
        wire_ms,
        wire_ms + sum(work[at] for at in after) / FLOPS_PER_MS,
        never or _why_not(graph, step, after, tensors),
    )


def _crossing(graph: Graph, after: set[int]) -> tuple[Wire, ...]:
    """What the head takes from the backbone or from the model's inputs, in the order in which it was made."""
    taken = {wire.number: wire for at in after for wire in graph.steps[at].takes}
    made_after = {wire.number for at in after for wire in graph.steps[at].gives}
    given_early = {wire.number: wire for wire in graph.outputs if wire.number not in made_after} if after else {}
    return tuple(wire for number, wire in sorted((taken | given_early).items()) if number not in made_after)


def _why_never(graph: Graph) -> str | None:
    """What keeps the whole model from being cut, wherever."""
    if any(isinstance(step.layer, keras.layers.Lambda) for step in graph.steps):
        return "the model has a Lambda layer: it carries code, and code is not taken from a model file"
    return None


def _why_not(graph: Graph, step: Step, after: set[int], tensors: tuple[Wire, ...]) -> str | None:
    uses = graph.uses_of(step.layer)
    inputs, outputs = ({wire.number for wire in wires} for wires in (graph.inputs, graph.outputs))
    if not after:
        return "nothing is left for the head"
    if uses > 1:
        return f"the layer is used {uses} times; a cut needs one that is used once"
    if any(wire.number in inputs for wire in tensors):
        return "what comes after needs the model's input as well"
    if any(wire.number in outputs for wire in tensors):
        return "an output of the model is made before it"
    return next((reason for wire in tensors if (reason := _cannot_travel(wire))), None)


def _cannot_travel(wire: Wire) -> str | None:
    if None in wire.shape:
        return f"a tensor that crosses has rows of unknown shape {_shown(wire.shape)}"
    if wire.bytes_per_row is None or wire.dtype == "bfloat16":
        return f"a tensor that crosses is {wire.dtype}, which the wire does not carry"
    return None


def _shown(shape: tuple[Any, ...]) -> str:
    return "x".join("?" if n is None else str(n) for n in shape)
