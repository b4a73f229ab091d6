"""Time and chance that a test decides."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

Result = TypeVar("Result")


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


class _NoWaiting(selectors.DefaultSelector):
    """Waits for nothing; says for how long it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits, and nothing will ever happen"
            self.skipped_s += max(0.0, timeout)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock goes on at once to the next timer, when all wait for one."""

    def __init__(self) -> None:
        self._no_waiting = _NoWaiting()
        super().__init__(self._no_waiting)

    def time(self) -> float:
        return 1000.0 + self._no_waiting.skipped_s


def in_virtual_time(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in which hours of `asyncio.sleep` take no time; `now` is its clock."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    """The running loop's seconds."""
    return asyncio.get_running_loop().time()
