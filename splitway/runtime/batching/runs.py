"""Which runs of an engine are under way, and since when."""

from __future__ import annotations

import threading
from typing import NamedTuple

from splitway.wire.deadline import Clock


class UnderWay(NamedTuple):
    """A run that has begun and not ended."""

    model: str
    began_s: float
    more_s: float = 0.0
    """Additional time allowed to this run."""


class Runs:
    """All threads' runs; each thread has one at most.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._under_way: dict[int, tuple[str, float, float]] = {}

    def begin(self, model: str, more_s: float = 0.0) -> None:
        """The calling thread begins a run, or the next part of its run; one of many rows may take more."""
        self._under_way[threading.get_ident()] = model, self._clock(), more_s

    def end(self) -> None:
        """The calling thread's run is over."""
        self._under_way.pop(threading.get_ident(), None)

    @property
    def under_way(self) -> list[UnderWay]:
        """Those of now, in no order. May be asked from any thread."""
        return [UnderWay(*each) for each in tuple(self._under_way.values())]
