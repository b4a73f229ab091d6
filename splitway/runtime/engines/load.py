"""The interface of engines, which execute bundles, and loading a bundle into the engine that it is for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import EngineFailed, SetupError
from splitway.manifest import TensorEntry
from splitway.wire.tensor import NUMPY_DTYPES, Arrays


class Engine(Protocol):
    """One loaded model. Used by one thread at a time: implementations need not be thread-safe."""

    name: str

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the model on inputs of n rows each and return outputs of n rows each.

        Raises:
            EngineFailed: the model could not be run.
        """


class Traits(NamedTuple):
    """How one engine is run and installed."""

    batch_rows: int
    """Rows worth gathering before a run; 1 where a batch gains nothing (measured: shared/FACTS.md)."""
    batches_at_once: int
    """Batches worth doing before anyone is told, while others wait (docs/adr/0009)."""
    side_by_side: bool
    """Whether several engines with few threads do more than one with many."""
    extra: str
    """The extra of the package that installs it."""
    tried_within_s: float
    """The longest that loading it and running a bundle once takes on a slow machine."""
    make: Callable[[Bundle, int], Engine]
    """Loads a bundle, with so many threads; the engine's library is imported here and nowhere earlier."""


def zeros(entries: tuple[TensorEntry, ...], rows: int) -> dict[str, NDArray[Any]]:
    """Inputs of the right names, types and shapes, to warm an engine with; the lowest number where 0 is not known."""
    return {e.name: np.full((rows, *e.shape[1:]), _calm(e), NUMPY_DTYPES[e.datatype]) for e in entries}


def _calm(entry: TensorEntry) -> int:
    low, high = entry.range or (0, 0)
    return 0 if low <= 0 <= high else low


def warm_up(engine: Engine, bundle: Bundle) -> None:
    """Run the engine as it will be run, so that the first caller doesn't pay for it."""
    for rows in {1, ENGINES[engine.name].batch_rows}:
        outputs = engine.infer(zeros(bundle.manifest.inputs, rows))
        for entry in bundle.manifest.outputs:
            shape = outputs[entry.name].shape
            if shape != (rows, *entry.shape[1:]):
                raise EngineFailed(f"the engine gives {entry.name!r} of shape {shape}; the manifest says {entry.shape}")


def load_engine(name: str, bundle: Bundle, threads: int) -> Engine:
    """Load a bundle into an engine.

    Raises:
        BundleError: the bundle has no files for this engine, or they cannot be loaded.
        SetupError: the engine is not installed.
    """
    try:
        return ENGINES[name].make(bundle, threads)
    except ImportError as error:
        extra = ENGINES[name].extra
        raise SetupError(
            f"{bundle.folder} is run by the engine {name!r}, which is not installed: pip install splitway[{extra}]"
        ) from error


def _litert(bundle: Bundle, threads: int) -> Engine:
    from splitway.runtime.engines.litert import LiteRTEngine

    return LiteRTEngine(bundle, threads)


def _tensorflow(bundle: Bundle, threads: int) -> Engine:
    with _without_matplotlib():
        from splitway.runtime.engines.tensorflow import TensorFlowEngine
    return TensorFlowEngine(bundle, threads)


ENGINES: Mapping[str, Traits] = {
    "litert": Traits(1, 4, side_by_side=True, extra="serve", tried_within_s=30.0, make=_litert),
    "tensorflow": Traits(8, 1, side_by_side=False, extra="split", tried_within_s=120.0, make=_tensorflow),
}
"""TensorFlow shares its threads among runs already."""


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
