"""Models with random answers: their cuts cannot be proved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from splitway.errors import ProofError, printable
from splitway.splitter.graph import Graph, Part
from splitway.splitter.proof.prove import Answers, Run
from splitway.splitter.readers.foreign import tried

_ROWS = 2
"""Rows that are asked twice."""


@contextmanager
def chance_named(graph: Graph, run: Run, inputs: Answers) -> Iterator[None]:
    """If a proof fails and the model gives random answers, raise a ProofError that names the layer.

    Args:
        graph, run: the uncut model.
        inputs: what it was asked, in the order of the graph's inputs.
    """
    try:
        yield
    except ProofError as error:
        rows = [array[:_ROWS] for array in inputs.values()]
        asked = dict(zip(graph.inputs, rows, strict=True))
        if _are_alike(run(asked).values(), run(asked).values()):
            raise
        layer = tried(lambda: _first_that_differs(graph, rows))
        where = f": {printable(repr(layer))} draws random numbers when it answers" if layer else ""
        raise ProofError(
            f"two runs of the uncut model on the same input give different answers, so no cut can be proved{where}; "
            "save it with a layer there that draws none, such as one that hands on the mean"
        ) from error


def _first_that_differs(graph: Graph, rows: list[Any]) -> str | None:
    """The first layer that gives different outputs for the same inputs."""
    wires = {str(wire.number): wire for step in graph.steps for wire in step.gives}
    whole = Part(graph.inputs, tuple(graph.steps), wires)
    values = [tf.constant(array) for array in rows]
    one, other = (dict(zip(wires, whole.run(values), strict=True)) for _ in range(2))
    for step in graph.steps:
        if any(not _are_alike([one[str(w.number)]], [other[str(w.number)]]) for w in step.gives):
            return step.name
    return None


def _are_alike(one: Any, other: Any) -> bool:
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True))
