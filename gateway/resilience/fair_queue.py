"""A queue in which callers take turns by cost: one that asks for much waits for each, and keeps no other waiting.

After start-time fair queueing (P. Goyal, H. Vin and H. Cheng, 1996): each entry gets a start tag, at which the one
before it of its caller ends in virtual time, or the present where that is past; the smallest tag goes first. Over any
time in which two callers wait, what is let out of theirs differs by no more than one entry's cost of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Place = TypeVar("Place")
_MOST_REMEMBERED = 1024
"""Callers whose last turn is kept, beyond which those in the past are forgotten."""


class _QueueEntry(NamedTuple, Generic[Place]):
    """One that waits; entries are ordered by tag, and those of one tag by number."""

    tag: float
    number: int
    cost: float
    place: Place


class FairQueue(Generic[Place]):
    """Where costs are equal, the first of each caller, then the second of each, and so on; those of one caller in the
    order in which they came.
    """

    def __init__(self) -> None:
        self._lines: dict[str, deque[_QueueEntry[Place]]] = {}
        self._ends: dict[str, float] = {}
        """Where in virtual time the last entry of a caller ends, let out or not; past ones may be missing."""
        self._now = 0.0
        self._size = self._number = 0

    def __len__(self) -> int:
        return self._size

    def waits(self, caller: str) -> bool:
        """Whether any of this caller's is in it."""
        return caller in self._lines

    def ahead(self, caller: str) -> tuple[int, float]:
        """How many would be let out before the next of this caller, and what they cost together."""
        tag = max(self._now, self._ends.get(caller, 0.0))
        costs = [entry.cost for line in self._lines.values() for entry in line if entry.tag <= tag]
        return len(costs), sum(costs)

    def put(self, caller: str, place: Place, cost: float = 1) -> None:
        tag = max(self._now, self._ends.get(caller, 0.0))
        self._ends[caller] = tag + cost
        self._lines.setdefault(caller, deque()).append(_QueueEntry(tag, self._number, cost, place))
        self._number += 1
        self._size += 1

    def pop(self, may_go: Callable[[str, float], bool] = lambda *_: True) -> Place | None:
        """Take out whose turn it is; None if there is none that may go.

        Args:
            may_go: whether the next of a caller, of this cost, may.
        """
        heads = [(line[0][:2], caller) for caller, line in self._lines.items() if may_go(caller, line[0].cost)]
        if not heads:
            return None
        _, caller = min(heads)
        entry = self._lines[caller].popleft()
        self._now = max(self._now, entry.tag)
        self._has_left(caller)
        return entry.place

    def discard(self, caller: str, place: Place) -> None:
        """Take out one that does not wait any longer, if it is still in it. Those behind it move up."""
        line = self._lines.get(caller, deque())
        index = next((n for n, entry in enumerate(line) if entry.place is place), None)
        if index is None:
            return
        gone = line[index]
        moved = [entry._replace(tag=entry.tag - gone.cost) for entry in list(line)[index + 1 :]]
        self._lines[caller] = deque([*list(line)[:index], *moved])
        self._ends[caller] -= gone.cost
        self._has_left(caller)

    def pop_last_of_longest(self, than: str) -> Place | None:
        """Take out the last of the caller who has most in it, if this is more than another would then have."""
        caller, line = max(self._lines.items(), key=lambda each: len(each[1]))
        if len(line) <= len(self._lines.get(than, ())) + 1:
            return None
        entry = line.pop()
        self._ends[caller] -= entry.cost
        self._has_left(caller)
        return entry.place

    def give_back(self, caller: str, cost: float) -> None:
        """Note that one of a caller's has cost so much less than was thought, so that its next is let out sooner."""
        if caller in self._ends:
            self._ends[caller] -= cost
            line = self._lines.get(caller, deque())
            self._lines[caller] = deque(entry._replace(tag=entry.tag - cost) for entry in line)
            if not line:
                del self._lines[caller]

    def _has_left(self, caller: str) -> None:
        self._size -= 1
        if not self._lines[caller]:
            del self._lines[caller]
        if not self._size:
            self._ends.clear()
            self._now = 0.0
        elif len(self._ends) > _MOST_REMEMBERED:
            self._ends = {one: end for one, end in self._ends.items() if end > self._now or one in self._lines}
