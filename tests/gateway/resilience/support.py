"""Time and chance that a test decides."""

from __future__ import annotations

from collections.abc import Iterator


class Clock:
    """Seconds that pass only when told."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class Chance:
    """Numbers from a fixed sequence, again and again."""

    def __init__(self, *values: float) -> None:
        self._values = values or (0.0,)
        self._next = self._cycle()

    def _cycle(self) -> Iterator[float]:
        while True:
            yield from self._values

    def __call__(self) -> float:
        return next(self._next)
