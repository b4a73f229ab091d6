"""Memory for what is being decoded: counted before a picture is, and waited for without holding a thread.

Small pictures are not counted one by one: as many as threads decode at once are set aside. Large ones go first come,
first served, one at a time, for each keeps a thread busy; others may pass a large one that waits for memory, but only
so often. What would fit if the process itself took as little as it has taken before, waits for that, and holds nothing
else up; only what takes more than there has ever been is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from splitway.errors import DeadlineExceeded
from splitway.kinds.image.limits import MOST_MEMORY_BYTES, check_memory, memory_for_pictures
from splitway.kinds.image.look import Picture
from splitway.memory_limit import MemoryLimit, read_memory
from splitway.wire.deadline import Clock

SMALL_BYTES = 8_000_000
"""Smaller pictures are not counted one by one."""
_MOST_PASSES = 8
"""Times that others go before a large picture that waits for memory."""
_READ_AGAIN_S = 1.0
_LOOKS_EVERY_S = 0.25
"""While something waits."""


class DecodeLoad(NamedTuple):
    """What decoding one request's pictures takes."""

    memory_bytes: int
    """Of the picture that takes most: a request's pictures are decoded one after the other."""
    is_large: bool
    pictures: tuple[Picture, ...]


NOTHING = DecodeLoad(0, False, ())
"""Of a request without pictures."""


class DecodeRoom:
    """Gives memory to those who decode, on the event loop; it may be given back in any thread.

    Args:
        told_bytes: how much there is; 0 for what the control group allows, or where there is none, a fixed amount.
        threads: how many decode at once.
        read: the control group's limit.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        told_bytes: int,
        threads: int,
        read: Callable[[], MemoryLimit | None] = read_memory,
        clock: Clock = time.monotonic,
    ) -> None:
        self._told_bytes = told_bytes
        self._set_aside = threads * SMALL_BYTES
        self._read = read
        self._clock = clock
        self.capacity_bytes = told_bytes or MOST_MEMORY_BYTES
        """How much there is for pictures, small ones included, as last read."""
        self.used_bytes = 0
        """How much is given to pictures that are not small."""
        self._most_ever = told_bytes
        self._read_at_s = -_READ_AGAIN_S
        self._next_look: asyncio.TimerHandle | None = None
        self._lock = threading.Lock()
        self._large_is_decoded = False
        self._passes = 0
        self._waiting: dict[bool, deque[DecodePlace]] = {True: deque(), False: deque()}
        """By whether they are large: in front of each queue is found at once whose turn it is."""

    @property
    def waiting(self) -> int:
        """Requests that wait for memory, or for another large picture."""
        return sum(map(len, self._waiting.values()))

    def place(self, load: DecodeLoad) -> DecodePlace | None:
        """Return a place for a request, which may have to be waited for; None where it needs none.

        Raises:
            TooLarge: it can never have one, for it takes more memory than there has ever been.
        """
        if load.memory_bytes <= SMALL_BYTES and not load.is_large:
            return None
        if self._clock() - self._read_at_s >= _READ_AGAIN_S or load.memory_bytes > self._most:
            self.look()
        if load.memory_bytes > (most_ever := self._beside_small_ones(self._most_ever)):
            largest = max(load.pictures, key=lambda picture: picture.width * picture.height)
            check_memory(largest, load.memory_bytes, most_ever)
        place = DecodePlace(self, load)
        with self._lock:
            self._waiting[load.is_large].append(place)
        self._let_in()
        self._look_later()
        return place

    def look(self) -> None:
        """Read how much there is, for what the process itself takes changes. To be called on the event loop.

        Of what is in use then, pictures that are being decoded may have taken nothing yet, or all that was given to
        them: what is known stays as it is between the two.
        """
        if self._told_bytes:
            return
        self._read_at_s = self._clock()
        free = memory_for_pictures(0, self._read)
        self.capacity_bytes = min(max(self.capacity_bytes, free), free + self.used_bytes)
        self._most_ever = max(self._most_ever, self.capacity_bytes)

    def _look_later(self) -> None:
        """See to it that it is read again soon while something waits: not all that takes memory says when it ends."""
        if self.waiting and self._next_look is None and not self._told_bytes:
            self._next_look = asyncio.get_running_loop().call_later(_LOOKS_EVERY_S, self._look_again)

    def _look_again(self) -> None:
        self._next_look = None
        if self.waiting:
            self.look()
            self._let_in()
            self._look_later()

    @property
    def _most(self) -> int:
        """Memory for all counted pictures together."""
        return self._beside_small_ones(self.capacity_bytes)

    def _beside_small_ones(self, capacity: int) -> int:
        return max(capacity - self._set_aside, SMALL_BYTES)

    def _let_in(self) -> None:
        """Give places to those whose turn it is: the first but for those that would not fit now if they were alone.

        Called on the event loop.
        """
        with self._lock:
            most = self._most
            large = None if self._large_is_decoded else self._first(most, is_large=True)
            if large is not None and self._fits(large, most):
                self._passes = 0
                self._large_is_decoded = True
                self._give(large)
                large = None
            while (place := self._first(most, is_large=False)) is not None and self._fits(place, most):
                if large is not None and self._passes >= _MOST_PASSES:
                    break
                self._passes += large is not None
                self._give(place)

    def _first(self, most: int, *, is_large: bool) -> DecodePlace | None:
        return next((place for place in self._waiting[is_large] if place.load.memory_bytes <= most), None)

    def _fits(self, place: DecodePlace, most: int) -> bool:
        return self.used_bytes + place.load.memory_bytes <= most

    def _give(self, place: DecodePlace) -> None:
        self.used_bytes += place.load.memory_bytes
        self._waiting[place.load.is_large].remove(place)
        place.given.set()

    def take_back(self, place: DecodePlace) -> None:
        """End a place, wherever it stands. May be called in any thread."""
        with self._lock:
            if place.given.is_set():
                self.used_bytes -= place.load.memory_bytes
                self._large_is_decoded = self._large_is_decoded and not place.load.is_large
            else:
                queue = self._waiting[place.load.is_large]
                if place.load.is_large and queue[0] is place:
                    self._passes = 0  # they were counted for this one
                queue.remove(place)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and no caller waits
            place.loop.call_soon_threadsafe(self._let_in)


class DecodePlace:
    """One request's memory: waited for, used in a thread, and given back whatever becomes of the request."""

    def __init__(self, room: DecodeRoom, load: DecodeLoad) -> None:
        self.load = load
        self.loop = asyncio.get_running_loop()
        self.given = asyncio.Event()
        """Set when there is room."""
        self._room = room
        self._ends = threading.Lock()
        """Taken once: by the thread that decodes, or by the request that has ended before that."""

    def __enter__(self) -> None:
        """Begin to decode, in a thread. Raises DeadlineExceeded where the request was given up meanwhile."""
        if not self._ends.acquire(blocking=False):
            raise DeadlineExceeded("the caller no longer waits for these pictures")

    def __exit__(self, *_: object) -> None:
        self._room.take_back(self)

    def leave(self) -> None:
        """The request has ended: what is not being decoded now, never will be."""
        if self._ends.acquire(blocking=False):
            self._room.take_back(self)
