"""Input on which a model fails: which row of which tensor it is, in a sentence for the caller.

What a model gives is an answer where its numbers are finite: NaN and infinity never travel on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import UnfitInput
from splitway.manifest import TensorEntry
from splitway.wire.tensor import Arrays

NOT_FINITE = "the model gives NaN or infinity for it"
_FAILS = "the model fails on it"
_MOST_TENSORS = 8
"""Each is tried on its own; with more, all are named."""
Fails = Callable[[Arrays], bool]
"""Whether the model fails on these inputs."""


class Unfit(Exception):
    """The model cannot answer what it was given, in an engine that answers other input.

    Args:
        outputs: what it gave, some rows of which are not finite; None where it gave nothing.
        reason: what the engine said, for the log.
        no_memory: whether what it lacked was memory.
    """

    def __init__(self, *, outputs: Arrays | None = None, reason: str = "", no_memory: bool = False) -> None:
        super().__init__(reason or NOT_FINITE)
        self.outputs = outputs
        self.reason = reason
        self.no_memory = no_memory


def is_finite(outputs: Arrays) -> bool:
    """Whether no output holds NaN or infinity."""
    return all(map(_all_finite, outputs.values()))


def _all_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def explain(unfit: Unfit, inputs: Arrays, fails: Fails) -> UnfitInput:
    """Say which row of which tensor is at fault, of inputs that nothing else was run with.

    Args:
        unfit: what came of them.
        inputs: of n rows each.
        fails: tries a part of them; what it says once there is no time left does not matter.
    """
    rows = len(next(iter(inputs.values())))
    if unfit.no_memory:
        what = f"the model needs too much memory for {rows} rows at once; send fewer"
        return UnfitInput(f"{', '.join(inputs)}: {what}", private=unfit.reason)
    if unfit.outputs is not None:
        row, what = _first_failing(unfit.outputs, rows, lambda outputs: not is_finite(outputs)), NOT_FINITE
    else:
        row, what = _first_failing(inputs, rows, fails), _FAILS
    alone = {name: array[row : row + 1] for name, array in inputs.items()}
    names = _at_fault(alone, fails)
    values = " and ".join(f"{name}: row {row}{_values(alone[name])}" for name in names)
    return UnfitInput(f"{values}: {what}; send other values", row=row, private=unfit.reason)


def renamed(error: UnfitInput, name: str) -> UnfitInput:
    """The same of what the caller sent under another name than the model's, in a form without the model's values."""
    what = error.detail.rpartition(": ")[2].replace("other values", "another")
    return UnfitInput(f"{name}: row {error.row}: {what}", row=error.row, private=error.in_full)


def check_range(entry: TensorEntry, array: NDArray[Any]) -> None:
    """Raise UnfitInput for a number outside of what the model's layers know. A fraction counts as its whole part."""
    if entry.range is None or not array.size:
        return
    low, high = entry.range
    slack = 1 if array.dtype.kind == "f" else 0
    least, most = array.min().item(), array.max().item()
    if (least > low - slack or least == low) and (most < high + slack or most == high):
        return
    outside = (array <= low - slack) & (array != low) | (array >= high + slack) & (array != high)
    place = tuple(int(each[0]) for each in np.nonzero(outside))
    raise UnfitInput(
        f"{entry.name}: row {place[0]} has {_number(array[place].item())}; the model accepts {low} to {high}",
        row=place[0],
    )


def _first_failing(inputs: Arrays, rows: int, fails: Fails) -> int:
    """The first row that fails: halves are tried, so that it costs no more than they did at once."""
    low, high = 0, rows
    while high - low > 1:
        middle = (low + high) // 2
        if fails({name: array[low:middle] for name, array in inputs.items()}):
            high = middle
        else:
            low = middle
    return low


def _at_fault(row: Arrays, fails: Fails) -> list[str]:
    """The tensors of one row without which it would do: with zeros in the place of one, the model does not fail."""
    names = list(row)
    if not 1 < len(names) <= _MOST_TENSORS:
        return names[:1] if len(names) == 1 else names
    guilty = [name for name in names if not fails({**row, name: np.zeros_like(row[name])})]
    return guilty[:1] or names


def _values(array: NDArray[Any]) -> str:
    if not array.size:
        return ""
    low, high = array.min().item(), array.max().item()
    return f" has {_number(low)}" if low == high else f" has numbers from {_number(low)} to {_number(high)}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(int(value))
