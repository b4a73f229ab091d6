"""Several engines for one model: one with all threads for a lone request, several with few threads for parallel ones.

A request alone is done soonest when every core works on it. Two requests at once are done soonest side by side: threads
that wait for each other at every layer lose more than they share, the more so on a machine that is full.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from numpy.typing import NDArray

from splitway.runtime.engines.load import Engine
from splitway.wire.tensor import Arrays

MOST_SLOTS = 4
"""Each engine holds the weights once more."""
LoadEngine = Callable[[int], Engine]
"""Loads the model into an engine with so many threads, ready to run."""


class EnginePool:
    """Runs one model for several callers at once.

    Args:
        load: makes an engine.
        threads: cores that all engines may use together.
        slots: how many callers may be at work at once.
    """

    def __init__(self, load: LoadEngine, threads: int, slots: int) -> None:
        self._wide = load(threads)
        self._narrow: SimpleQueue[Engine] = SimpleQueue()
        for _ in range(slots if slots > 1 else 0):
            self._narrow.put(load(threads // slots))

    def infer(self, inputs: Arrays, alone: bool) -> dict[str, NDArray[Any]]:
        """Run the model; `alone` says that no other caller is at work. Raises EngineFailed."""
        if alone or self._narrow.empty():
            return self._wide.infer(inputs)
        engine = self._narrow.get_nowait()
        try:
            return engine.infer(inputs)
        finally:
            self._narrow.put(engine)

    def close(self) -> None:
        """Give the engines' memory back, when none is at work any more."""
        del self._wide
        while not self._narrow.empty():
            self._narrow.get_nowait()


def slots_for(threads: int, *, parallel: bool) -> int:
    """How many may be at work at once; one where engines side by side don't pay for this kind of engine."""
    return min(threads, MOST_SLOTS) if parallel else 1
