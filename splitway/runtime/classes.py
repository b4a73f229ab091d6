"""The best classes of a row of probabilities, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BestClass:
    """One class.

    Args:
        label: its name; empty where the head has none.
        index: its place among the probabilities.
        probability: as text from which the same float32 is read again.
    """

    label: str
    index: int
    probability: str

    def __str__(self) -> str:
        """`probability:index:label`, as Triton's classification extension has it."""
        return f"{self.probability}:{self.index}:{self.label}"


def best(row: NDArray[Any], k: int) -> NDArray[Any]:
    """Indices of the k largest values, largest first; of equal values the lower index first."""
    return np.argsort(-row, kind="stable")[:k]


def best_classes(row: NDArray[Any], k: int, labels: Sequence[str]) -> list[BestClass]:
    """The k best classes of one row, best first."""
    return [BestClass(labels[i] if labels else "", int(i), str(row[i])) for i in best(row, k)]
