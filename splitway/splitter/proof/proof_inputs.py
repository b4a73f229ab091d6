"""The inputs of a proof: the user's pictures, and random tensors for every input of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.kinds.image.decode import to_model_input
from splitway.manifest import Preprocessing
from splitway.splitter.graph import Graph, Wire

_SEED = 20_261_122
MOST_INPUTS, FEWEST_INPUTS = 21, 5
_FLOPS_OF_ALL = 3e10
"""Large models are proved on fewer random inputs, so that a proof takes no minutes."""
_WHOLE_NUMBERS = 10
"""Random integers are below this if the input's range is unknown."""


def random_inputs(graph: Graph) -> int:
    """The number of random inputs for a model of this size."""
    flops = max(1.0, sum(step.flops for step in graph.steps))
    return max(FEWEST_INPUTS, min(MOST_INPUTS, int(_FLOPS_OF_ALL / flops)))


def picture_inputs(
    samples: list[NDArray[np.uint8]], preprocessing: Preprocessing, count: int = MOST_INPUTS
) -> NDArray[Any]:
    """The samples, and random pictures of every brightness (seeded: the same each time), as the model takes them."""
    rng = np.random.default_rng(_SEED)
    shape = (count, preprocessing.height, preprocessing.width, 3)
    brightness = rng.uniform(0.1, 1.0, (count, 1, 1, 1))
    noise = (rng.integers(0, 256, shape) * brightness).astype(np.uint8)
    return to_model_input(np.concatenate([*(sample[None] for sample in samples), noise]), preprocessing)


def tensor_inputs(graph: Graph, count: int) -> dict[str, NDArray[Any]]:
    """Random tensors for each input (seeded): numbers of every size, whole ones in the range that the model knows."""
    rng = np.random.default_rng(_SEED)
    return {name: _random(rng, count, wire, _words(graph, wire)) for name, wire in graph.inputs.items()}


def _random(rng: np.random.Generator, count: int, wire: Wire, words: Sequence[int] | None) -> NDArray[Any]:
    shape, dtype = (count, *(int(n or 0) for n in wire.shape)), np.dtype(wire.travels_as)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu" or words is not None:
        if words is None:
            words = range(256 if wire.dtype == "uint8" else _WHOLE_NUMBERS)
        chosen = rng.integers(0, len(words), shape)
        return (chosen + words.start if isinstance(words, range) else np.asarray(words)[chosen]).astype(dtype)
    sizes = rng.uniform(0.1, 3.0, (count, *(1 for _ in wire.shape)))
    numbers: NDArray[Any] = (rng.standard_normal(shape) * sizes).astype(dtype)
    return numbers


def _words(graph: Graph, wire: Wire) -> Sequence[int] | None:
    """The whole numbers that an input is chosen from: those of its range, or of the smallest table that it reaches."""
    told = told_of(graph, wire)
    bounds = graph.ranges.get(wire.number)
    return next((words for words in told if bounds in (None, (min(words), max(words)))), None)


def told_of(graph: Graph, wire: Wire) -> list[Sequence[int]]:
    """The whole numbers that the layers tell which an input reaches as it is, the fewest first."""
    reached, told = {wire.number}, list[Sequence[int]]()
    for step in graph.steps:
        if reached.isdisjoint(each.number for each in step.takes):
            continue
        if step.tells:
            told += step.tells
        elif not step.weights:
            reached |= {each.number for each in step.gives}
    return sorted(told, key=len)
