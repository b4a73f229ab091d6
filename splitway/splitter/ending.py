"""The end of a model: which activation its own last layer has, and what is computed behind it when it is served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from splitway.manifest import Appended
from splitway.splitter.cut import CutModel
from splitway.splitter.graph import Graph, Step, Wire
from splitway.splitter.proof.prove import Answers
from splitway.splitter.readers.foreign import tried

LINEAR = "linear"
_HANDS_ON = ("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "Identity", "ActivityRegularization")
"""Kinds of steps that give what they take when they serve."""
_OPERATIONS = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "SparseSigmoid": "sparse_sigmoid",
    "Sparsemax": "sparsemax",
    "LogSoftmax": "log_softmax",
    "Relu": "relu",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    "Tanh": "tanh",
    "BatchNormalization": LINEAR,
    "Rescaling": LINEAR,
    "BiasAdd": LINEAR,
    "MatMul": LINEAR,
}
"""What operations and layers without a setting for it are, by their kind."""
_IN_TENSORFLOW: dict[Appended, Callable[[Any], Any]] = {
    "softmax": tf.nn.softmax,
    "sigmoid": tf.sigmoid,
    "two_classes": lambda share: tf.concat([1 - share, share], axis=1),
}


def last_step(graph: Graph, output: Wire) -> Step | None:
    """The step that makes an output, before those that hand on what they take; None where it is an input."""
    makers = {wire.number: step for step in graph.steps for wire in step.gives}
    step = makers.get(output.number)
    while step is not None and step.kind in _HANDS_ON and len(step.takes) == 1:
        step = makers.get(step.takes[0].number)
    return step


def activation_of(step: Step | None) -> str | None:
    """The name of the activation that a step ends in, `linear` for none; None where the step does not tell."""
    if step is None:
        return None
    is_of_keras = type(step.owner).__module__.partition(".")[0] == "keras"
    activation = tried(lambda: step.owner.activation) if is_of_keras else None
    if activation is not None:
        name = getattr(activation, "__name__", type(activation).__name__.lower())
        return str(name)
    axis = tried(lambda: int(step.owner.axis)) if step.kind in ("Softmax", "LogSoftmax") else None
    if axis not in (None, -1, len(step.gives[0].shape)):  # rows change each other, or pixels
        return f"{_OPERATIONS[step.kind]} over axis {axis}"
    return _OPERATIONS.get(step.kind)


def appended_to(graph: Graph, appended: Sequence[Appended]) -> Graph:
    """The graph of a model with one output, and what is computed behind it; of any model where that is nothing."""
    if not appended:
        return graph
    grown = replace(graph, outputs=dict(graph.outputs), steps=[*graph.steps])
    ((name, wire),) = graph.outputs.items()
    for kind in appended:
        shape = (2,) if kind == "two_classes" else wire.shape
        gives = grown.wire((None, *shape), "float32")
        run = _runner(kind)
        grown.steps.append(Step(kind, kind, (wire,), (gives,), run, run, identity={"class": kind}))
        wire = gives
    grown.outputs[name] = wire
    return grown


def cut_with(cut: CutModel, appended: Sequence[Appended]) -> CutModel:
    """The same parts, the last of them with what is computed behind the model's own output."""
    if not appended:
        return cut
    grown, last = appended_to(cut.graph, appended), cut.parts[-1]
    steps = (*last.steps, *grown.steps[len(cut.graph.steps) :])
    gives = dict(zip(last.gives, grown.outputs.values(), strict=True))
    return replace(cut, graph=grown, parts=(*cut.parts[:-1], replace(last, steps=steps, gives=gives)))


def answers_with(answers: Answers, appended: Sequence[Appended]) -> Answers:
    """What a model of one output answers with this behind it: in numpy, apart from what is served, to compare with."""
    for kind in appended:
        answers = {name: _IN_NUMPY[kind](array.astype(np.float64)) for name, array in answers.items()}
    return {name: array.astype(np.float32) for name, array in answers.items()} if appended else answers


def _runner(kind: Appended) -> Callable[[Sequence[Any]], Sequence[Any]]:
    def run(values: Sequence[Any]) -> Sequence[Any]:
        return [_IN_TENSORFLOW[kind](tf.cast(values[0], tf.float32))]

    return run


def _softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _sigmoid(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = 0.5 * (1 + np.tanh(rows / 2))  # where exp would overflow, too
    return shares


_IN_NUMPY: dict[Appended, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "two_classes": lambda share: np.concatenate([1 - share, share], axis=1),
}
