"""The interface of engines, which execute bundles."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import EngineFailed
from splitway.manifest import TensorEntry
from splitway.wire.tensor import NUMPY_DTYPES, Arrays

PREFERRED_BATCH_ROWS = {"litert": 1, "tensorflow": 8}
"""Rows worth gathering before a run, by engine; 1 where a batch gains nothing (measured: shared/FACTS.md)."""
BATCHES_AT_ONCE = {"litert": 4, "tensorflow": 1}
"""Batches worth doing before anyone is told, while others wait (docs/adr/0009)."""
SIDE_BY_SIDE = {"litert": True, "tensorflow": False}
"""Whether several engines with few threads do more than one with many; TensorFlow shares its threads already."""


class Engine(Protocol):
    """One loaded model. Used by one thread at a time: implementations need not be thread-safe."""

    name: str

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the model on inputs of n rows each and return outputs of n rows each.

        Raises:
            EngineFailed: the model could not be run.
        """


def zeros(entries: tuple[TensorEntry, ...], rows: int) -> dict[str, NDArray[Any]]:
    """Inputs of the right names, types and shapes, to warm an engine with; the lowest number where 0 is not known."""
    return {e.name: np.full((rows, *e.shape[1:]), _calm(e), NUMPY_DTYPES[e.datatype]) for e in entries}


def _calm(entry: TensorEntry) -> int:
    low, high = entry.range or (0, 0)
    return 0 if low <= 0 <= high else low


def warm_up(engine: Engine, bundle: Bundle) -> None:
    """Run the engine as it will be run, so that the first caller doesn't pay for it."""
    for rows in {1, PREFERRED_BATCH_ROWS[engine.name]}:
        outputs = engine.infer(zeros(bundle.manifest.inputs, rows))
        for entry in bundle.manifest.outputs:
            shape = outputs[entry.name].shape
            if shape != (rows, *entry.shape[1:]):
                raise EngineFailed(f"the engine gives {entry.name!r} of shape {shape}; the manifest says {entry.shape}")
