"""What a model's answer may be: numbers that are finite. NaN and infinity never travel on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.runtime.arrays import Arrays


def is_finite(outputs: Arrays) -> bool:
    """Whether no output holds NaN or infinity."""
    return all(map(_all_finite, outputs.values()))


def _all_finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def finite_rows(outputs: Arrays) -> NDArray[np.bool_]:
    """Which rows hold neither NaN nor infinity, in all outputs; of outputs of n rows each, n booleans."""
    rows = np.ones(len(next(iter(outputs.values()))), np.bool_)
    for array in outputs.values():
        if array.dtype.kind == "f":
            rows &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return rows
