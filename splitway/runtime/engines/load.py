"""Loading a bundle into the engine that it is for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from splitway.bundle import Bundle
from splitway.errors import SetupError
from splitway.runtime.engines.base import Engine

_EXTRAS = {"litert": "serve", "tensorflow": "split"}
"""The extra that installs an engine."""


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
