"""A queue in which callers take turns: whoever has many in it waits for each, and keeps nobody else waiting."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Place = TypeVar("Place")


class FairQueue(Generic[Place]):
    """The first of each caller, then the second of each, and so on; of one caller in the order in which they came."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Place]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def ahead(self, caller: str) -> int:
        """How many would be let out before the next of this caller."""
        mine = len(self._lines.get(caller, ()))
        return sum(min(len(line), mine + 1) for other, line in self._lines.items() if other != caller) + mine

    def put(self, caller: str, place: Place) -> None:
        self._lines.setdefault(caller, deque()).append(place)
        self._size += 1

    def pop(self) -> Place:
        """Take out whose turn it is. There must be somebody."""
        caller, line = next(iter(self._lines.items()))
        place = line.popleft()
        self._size -= 1
        if line:
            self._lines.move_to_end(caller)
        else:
            del self._lines[caller]
        return place

    def discard(self, caller: str, place: Place) -> None:
        """Take out one who does not wait any longer, if they are still in it."""
        line = self._lines.get(caller)
        if line is None or place not in line:
            return
        line.remove(place)
        self._size -= 1
        if not line:
            del self._lines[caller]

    def pop_last_of_longest(self, than: str) -> Place | None:
        """Take out the last of the caller who has most in it, if this is more than another would then have."""
        line = max(self._lines.values(), key=len)
        if len(line) <= len(self._lines.get(than, ())) + 1:
            return None
        place = line.pop()
        self._size -= 1
        return place
