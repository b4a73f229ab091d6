"""The interface of engines, which execute bundles, and loading a bundle into the engine that it is for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import EngineFailed, SetupError
from splitway.manifest import TensorEntry
from splitway.wire.tensor import NUMPY_DTYPES, Arrays

PREFERRED_BATCH_ROWS = {"litert": 1, "tensorflow": 8}
"""Rows worth gathering before a run, by engine; 1 where a batch gains nothing (measured: shared/FACTS.md)."""
BATCHES_AT_ONCE = {"litert": 4, "tensorflow": 1}
"""Batches worth doing before anyone is told, while others wait (docs/adr/0009)."""
SIDE_BY_SIDE = {"litert": True, "tensorflow": False}
"""Whether several engines with few threads do more than one with many; TensorFlow shares its threads already."""
_EXTRAS = {"litert": "serve", "tensorflow": "split"}
"""The extra that installs an engine."""


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


def load_engine(name: str, bundle: Bundle, threads: int) -> Engine:
    """Load a bundle into an engine. The engine's library is imported here and nowhere earlier.

    Raises:
        BundleError: the bundle has no files for this engine, or they cannot be loaded.
        SetupError: the engine is not installed.
    """
    try:
        return _engine_class(name)(bundle, threads)
    except ImportError as error:
        extra = _EXTRAS[name]
        raise SetupError(
            f"{bundle.folder} is run by the engine {name!r}, which is not installed: pip install splitway[{extra}]"
        ) from error


def _engine_class(name: str) -> Callable[[Bundle, int], Engine]:
    if name == "tensorflow":
        with _without_matplotlib():
            from splitway.runtime.engines.tensorflow import TensorFlowEngine
        return TensorFlowEngine
    from splitway.runtime.engines.litert import LiteRTEngine

    return LiteRTEngine


@contextmanager
def _without_matplotlib() -> Iterator[None]:
    """Keep Keras, which TensorFlow imports, from importing pyplot: a second and 30 MB that no engine needs.

    Afterwards the caller's program can import it as before.
    """
    if "matplotlib" in sys.modules:
        yield
        return
    sys.modules["matplotlib"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["matplotlib"]
