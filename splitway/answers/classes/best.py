"""The best classes of each row of probabilities, as they travel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.names import PROBABILITIES
from splitway.wire.tensor import Tensor


def best(row: NDArray[Any], k: int) -> NDArray[Any]:
    """Indices of the k largest values, largest first; of equal values the lower index first."""
    return np.argsort(-row, kind="stable")[:k]


def best_classes(probabilities: NDArray[Any], k: int, labels: Sequence[str], threshold: float | None = None) -> Tensor:
    """The k best classes of each row, best first: BYTES of `probability:index:label`, as Triton's classification
    extension has it. The probability is text from which the same float32 is read again; without labels none is said.

    With a threshold, `k` is not what is asked for but as many as reach it in the row with the most of them, and at
    least one: what reads the answer leaves out those below it.
    """
    if threshold is not None:
        k = max(1, int((probabilities >= threshold).sum(axis=1).max(initial=0)))
    k = min(k, probabilities.shape[1])
    elements = [f"{row[i]!s}:{i}:{labels[i] if labels else ''}".encode() for row in probabilities for i in best(row, k)]
    return Tensor.of_bytes(PROBABILITIES, elements, (len(probabilities), k))
