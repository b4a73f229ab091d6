"""The inputs of a proof: the user's pictures, and random tensors for every input of the model, within its range.

A layer tells how many words its table has. That this holds for an input is tried: the uncut model must answer the
highest number, and fail on the next one, wherever in a row it stands. An input of which a part goes elsewhere, or of
which the layer sees something else, has no range then, and nothing is refused that the model would have answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import ModelError, SetupError
from splitway.kinds.image.decode import to_model_input
from splitway.manifest import Preprocessing
from splitway.splitter.graph import Graph, Wire
from splitway.splitter.proof.prove import Answers, Run
from splitway.splitter.proof.samples import Samples
from splitway.splitter.readers.foreign import tried

_SEED = 20_261_122
MOST_INPUTS, FEWEST_INPUTS = 21, 5
_FLOPS_OF_ALL = 3e10
"""Large models are proved on fewer random inputs, so that a proof takes no minutes."""
_WHOLE_NUMBERS = 10
"""Random integers are below this if the input's range is unknown."""
_MOST_TOLD = 3
"""Tables tried for one input."""
_MOST_PLACES = 12
"""Places of a row at which a number that is too high is tried."""


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


def find_ranges(graph: Graph, run: Run) -> dict[int, tuple[int, int]]:
    """The lowest and the highest number of each input that has a range, by the number of its wire."""
    told = {name: told_of(graph, wire) for name, wire in graph.inputs.items()}
    if not any(told.values()):
        return {}
    base = tensor_inputs(graph, 1)
    if not _works(run, base):
        return {}
    found = {}
    for name, wire in graph.inputs.items():
        bounds = dict.fromkeys((min(words), max(words)) for words in told[name])
        for low, high in list(bounds)[:_MOST_TOLD]:
            if _holds(run, base, name, low, high):
                found[wire.number] = (low, high)
                break
    return found


@contextmanager
def rows_named(graph: Graph, run: Run, samples: Samples) -> Iterator[None]:
    """If the model fails on samples with a number out of range, raise a SetupError that names tensor and row."""
    try:
        yield
    except ModelError as error:
        ranges = find_ranges(graph, run)
        for name, wire in graph.inputs.items():
            low, high = ranges.get(wire.number, (-np.inf, np.inf))
            odd = np.argwhere((samples.inputs[name] < low) | (samples.inputs[name] > high))
            if len(odd):
                said = f"row {odd[0][0]} of {name!r} has {samples.inputs[name][tuple(odd[0])]}"
                raise SetupError(f"{samples.path}: {said}, and the model takes {low} to {high} there") from error
        raise


def _holds(run: Run, base: Answers, name: str, low: int, high: int) -> bool:
    row = base[name]
    if not row.size or not (_can_be(row, high + 1) and (low == 0 or _can_be(row, low - 1))):
        return False
    if not all(_works(run, {**base, name: np.full_like(row, edge)}) for edge in (low, high)):
        return False
    beyond = [high + 1] if low == 0 else [high + 1, low - 1]
    return not any(_works(run, {**base, name: _with(row, at, n)}) for at in _places(row.size) for n in beyond)


def _can_be(row: NDArray[np.generic], number: int) -> bool:
    """Whether the input's type has this number."""
    held = tried(lambda: int(np.array(number, np.int64).astype(row.dtype)))
    return held == number


def _with(row: NDArray[np.generic], at: int, number: int) -> NDArray[np.generic]:
    changed = row.copy()
    changed.reshape(-1)[at] = number
    return changed


def _places(size: int) -> Sequence[int]:
    """Some places of a row: all of a short one, else the first, the last and some between."""
    if size <= _MOST_PLACES:
        return range(size)
    return sorted({round(at) for at in np.linspace(0, size - 1, _MOST_PLACES)})


def _works(run: Run, inputs: Answers) -> bool:
    """Whether a model answers with finite numbers."""
    with np.errstate(all="ignore"):
        answers = tried(lambda: run(inputs))
    return answers is not None and all(
        not np.issubdtype(array.dtype, np.floating) or np.isfinite(array).all() for array in answers.values()
    )
