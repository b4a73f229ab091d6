"""How far the step is that runs now: told by loops whose length is known, shown by whoever listens in that thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Listener = Callable[[float], None]
"""Called with a share of the step, from 0 to 1."""
_Item = TypeVar("_Item")


class _Thread(threading.local):
    listener: Listener | None = None
    low, high = 0.0, 1.0
    """The part of the step that the innermost loop is."""


_here = _Thread()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a listener of all progress in this thread, for as long as the block runs."""
    before = _here.listener, _here.low, _here.high
    _here.listener, _here.low, _here.high = listener, 0.0, 1.0  # a loop that an error left may not have ended yet
    try:
        yield
    finally:
        _here.listener, _here.low, _here.high = before


def report(done: float) -> None:
    """Say that this share of the loop around, or of the step, is done."""
    if _here.listener is not None:
        _here.listener(_here.low + (_here.high - _here.low) * min(max(done, 0.0), 1.0))


def counted(items: Sequence[_Item]) -> Iterator[_Item]:
    """Yield each item and report how many are done. A loop inside reports its share of the item that is under way."""
    low, high = _here.low, _here.high
    try:
        for number, item in enumerate(items):
            share = (high - low) / len(items)
            _here.low, _here.high = low + share * number, low + share * (number + 1)
            yield item
            report(1.0)
    finally:
        _here.low, _here.high = low, high
