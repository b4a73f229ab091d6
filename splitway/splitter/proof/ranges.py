"""The ranges of a model's whole-number inputs: read from its layers, and tried on the model before they are used.

A layer tells how many words its table has. That this holds for an input is tried: the uncut model must answer the
highest number, and fail on the next one, wherever in a row it stands. An input of which a part goes elsewhere, or of
which the layer sees something else, has no range then, and nothing is refused that the model would have answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from splitway.errors import ModelError, SetupError
from splitway.splitter.graph import Graph
from splitway.splitter.proof.proof_inputs import tensor_inputs, told_of
from splitway.splitter.proof.prove import Answers, Run
from splitway.splitter.proof.samples import Samples
from splitway.splitter.readers.foreign import tried

_MOST_TOLD = 3
"""Tables tried for one input."""
_MOST_PLACES = 12
"""Places of a row at which a number that is too high is tried."""


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
