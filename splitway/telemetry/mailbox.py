"""What has happened, read a little later and several at a time: on a request's way an event costs an append.

Counting is short work, but code that has gone cold between two requests takes many times as long as when it has just
run; and no answer waits for the counting.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Event = TypeVar("Event")
_log = logging.getLogger(__name__)
_LATER_S = 0.2
_MOST = 256


class Mailbox(Generic[Event]):
    """Hands events to their readers in order, on the event loop; at once where none runs.

    Args:
        readers: each takes one event. What one of them raises is logged, and keeps nothing from the others.
    """

    def __init__(self, readers: Sequence[Callable[[Event], None]]) -> None:
        self._readers = readers
        self._events: list[Event] = []
        self._waits = False

    def put(self, event: Event) -> None:
        """Have an event read soon."""
        self._events.append(event)
        if not self._waits:
            self._wait()
        elif len(self._events) >= _MOST:
            self.settle()

    def settle(self) -> None:
        """Have everything read now."""
        events, self._events = self._events, []
        for event in events:
            for read in self._readers:
                try:
                    read(event)
                except Exception:
                    _log.exception("reading %s", type(event).__name__)

    def _wait(self) -> None:
        try:
            asyncio.get_running_loop().call_later(_LATER_S, self._in_time)
        except RuntimeError:  # no loop
            self.settle()
        else:
            self._waits = True

    def _in_time(self) -> None:
        self._waits = False
        self.settle()
