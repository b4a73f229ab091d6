"""The open connections of one process: how many each address has, which are dropped first, and one clock for them."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from splitway.errors import Overloaded, RateLimited
from splitway.http.server.request_head import Refusal
from splitway.security.networks import subscriber_of

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.25
_TELL_EVERY_S = 60.0
_TURNED_AWAY = 64
"""Connections over the limit that are told so at the same time; the others are cut off without a word."""
_DROPPED_AT_ONCE = 1 / 16
"""Of all connections, when there is no room for one more: finding the right ones means looking at all of them."""
SILENT, STALLED, HANDSHAKE, UNREAD = "silent", "stalled", "handshake", "answer_not_read"
"""Reasons for which a connection is ended that no error has a code for."""
_SILENT_SINCE_S, _STALLED_SINCE_S = attrgetter("silent_since_s"), attrgetter("stalled_since_s")
_REASONS = (SILENT, STALLED, HANDSHAKE, UNREAD, "invalid_input", "overloaded", "rate_limited", "slow_body", "too_large")


class Connection(Protocol):
    """What is looked after."""

    address: str | None
    """The address it is counted for; None if it is not counted."""

    @property
    def silent_since_s(self) -> float | None:
        """Since when it has nothing to do: no request has begun and no answer is due. None while there is one."""

    @property
    def stalled_since_s(self) -> float | None:
        """Since when a request has begun that should be here by now, headers and all; None while there is none."""

    def look(self, now_s: float) -> None:
        """Close it if its time is up."""

    def drop(self) -> None:
        """Close it at once: another needs its descriptor."""

    def say_close(self) -> None:
        """Let the answer that is due be the connection's last."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What one caller may take of one connection."""

    header_timeout_s: float = 10.0
    """For a request's headers: the first one's from connecting, every other one's from its first byte."""
    body_timeout_s: float = 60.0
    answer_timeout_s: float = 30.0
    """For reading an answer, or as much of it as the kernel does not hold."""
    max_header_bytes: int = 16 * 1024
    max_headers: int = 100
    max_url_bytes: int = 8 * 1024
    max_pipelined: int = 16
    """Requests that wait behind the one that is being answered."""


@dataclass(frozen=True)
class ConnectionRoom:
    """How many connections there may be.

    A new one takes the lowest file descriptor that is free, so its number tells how many are in use, whatever for.
    """

    per_address: int = 0
    """0 for any number."""
    connections: int = 0
    """0 for any number."""
    descriptor: int = 0
    """From this file descriptor on there is no room; 0 for no such bound."""
    share: int = 0
    """Of one address, before it has to drop silent ones of its own for each new one; 0 for any number."""


class Connections:
    """The open connections of one process.

    Those of each address are kept, and not their number alone: what is counted is what is open. There is one timer for
    all of them, which runs while there are any: a timer for each request would cost more than the rest of this does.
    """

    def __init__(self, room: ConnectionRoom) -> None:
        self.draining = False
        """Whether each answer is its connection's last."""
        self._room = room
        self._open: dict[Connection, None] = {}
        self._by_address: dict[str, dict[Connection, None]] = {}
        self._turned_away: set[Connection] = set()
        self._dropped: set[Connection] = set()
        """Those that still hold their descriptors."""
        self._full: set[str | None] = set()
        """Addresses of which nothing could be dropped, and None if that is so of all; until the clock's next turn."""
        self._timer: asyncio.TimerHandle | None = None
        self._refused: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._tell_from_s = 0.0

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._open

    @property
    def addresses(self) -> dict[str, int]:
        """How many connections each address has open."""
        return {address: len(several) for address, several in self._by_address.items()}

    @property
    def refused_by_reason(self) -> dict[str, int]:
        """How many were turned away or ended since the process began."""
        return {**dict.fromkeys(_REASONS, 0), **self._refused}

    def metrics(self) -> Iterator[Metric]:
        """How many are open, and how many were turned away or ended."""
        yield GaugeMetricFamily("splitway_connections", "Connections that callers have open.", len(self._open))
        says = "Connections refused or ended early, by why."
        turned = CounterMetricFamily("splitway_connections_turned_away", says, labels=["reason"])
        for reason, count in self.refused_by_reason.items():
            turned.add_metric([reason], count)
        yield turned

    def admit(self, connection: Connection, host: str | None, descriptor: int = -1) -> Refusal | None:
        """Look after a connection from now on, and count it.

        Args:
            connection: a new one.
            host: the caller's address; None if it is not counted.
            descriptor: the file descriptor that it has; -1 where that is not known.

        Returns:
            Why there is no room for it; it is not counted then.
        """
        self._watch(connection)
        address = None if host is None else subscriber_of(host)
        several = self._by_address.get(address, {}) if address is not None else {}
        if 0 < self._room.per_address <= len(several):
            return Refusal(429, RateLimited("this address has too many connections open", retry_after_s=1))
        if not self._has_room(connection, address if 0 < self._room.share <= len(several) else None, descriptor):
            return Refusal(503, Overloaded("too many connections are open, and all of them are busy", retry_after_s=1))
        if address is not None:
            self._by_address.setdefault(address, several)[connection] = None
            connection.address = address
        return None

    def replace(self, before: Connection, after: Connection) -> None:
        """Count one connection in place of another that has become it."""
        address = before.address
        self.release(before)
        self._watch(after)
        if address is not None:
            self._by_address.setdefault(address, {})[after] = None
            after.address = address

    def may_be_told(self, connection: Connection) -> bool:
        """Whether there is room for one more connection that hears why it is turned away."""
        if len(self._turned_away) >= _TURNED_AWAY:
            return False
        self._turned_away.add(connection)
        return True

    def release(self, connection: Connection) -> None:
        """Forget a connection that is closed; one that was never admitted may be released as well."""
        self._open.pop(connection, None)
        self._turned_away.discard(connection)
        self._dropped.discard(connection)
        self._forget_address(connection)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def refused(self, reason: str) -> None:
        """Note that a caller was cut off; strangers fill no log, so there is one line a minute for all of them."""
        self._refused[reason] += 1

    def drain(self) -> None:
        """Let every answer from now on be its connection's last."""
        self.draining = True
        for connection in tuple(self._open):
            connection.say_close()

    def _watch(self, connection: Connection) -> None:
        self._open[connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    def _forget_address(self, connection: Connection) -> None:
        address, connection.address = connection.address, None
        if address is None:
            return
        several = self._by_address[address]
        del several[connection]
        if not several:
            del self._by_address[address]

    def _has_room(self, newcomer: Connection, crowded: str | None, descriptor: int) -> bool:
        """Whether there is room for a connection, or could be made; `crowded` is its address, if that has its share.

        Of the descriptors, those of dropped connections are about to be free.
        """
        room = self._room
        if crowded is not None:
            return self._make_room(newcomer, crowded)
        is_over = 0 < room.connections < len(self._open) or 0 < room.descriptor <= descriptor - len(self._dropped)
        return not is_over or self._make_room(newcomer, None)

    def _make_room(self, newcomer: Connection, crowded: str | None) -> bool:
        """Drop connections that are silent, or else stalled, of one address or of any; False if there is none.

        One whose request is here is never dropped: its caller would have to guess what became of it.
        """
        if crowded in self._full:
            return False
        among = self._by_address if crowded is None else {crowded: self._by_address[crowded]}
        most = math.ceil(sum(map(len, among.values())) * _DROPPED_AT_ONCE)
        reason, dropped = SILENT, list(islice(_spare(among, newcomer, _SILENT_SINCE_S), most))
        if not dropped:
            reason, dropped = STALLED, list(islice(_spare(among, newcomer, _STALLED_SINCE_S), most))
        for connection in dropped:
            self.refused(reason)
            self._dropped.add(connection)
            del self._open[connection]
            self._forget_address(connection)
            connection.drop()
        if not dropped:
            self._full.add(crowded)
        return bool(dropped)

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        self._full.clear()
        self._dropped.clear()
        now_s = time.monotonic()
        for connection in tuple(self._open):
            connection.look(now_s)
        if now_s >= self._tell_from_s and (new := self._refused - self._told):
            self._tell_from_s = now_s + _TELL_EVERY_S
            self._told = self._refused.copy()
            _log.warning("turned away: %s", ", ".join(f"{n} x {reason}" for reason, n in new.most_common()))


def _spare(
    by_address: Mapping[str, Iterable[Connection]], newcomer: Connection, since: Callable[[Connection], float | None]
) -> Iterator[Connection]:
    """The connections that have been silent, or stalled, since some time: of the address that has most, each time,
    the one for which that is longest ago."""
    heap: list[tuple[int, float, str]] = []
    spare: dict[str, list[tuple[float, Connection]]] = {}
    for address, several in by_address.items():
        others = [(since(each), each) for each in several if each is not newcomer]
        found = [(since_s, each) for since_s, each in others if since_s is not None]
        if found:
            spare[address] = sorted(found, key=itemgetter(0), reverse=True)
            heap.append((-len(others), spare[address][-1][0], address))
    heapq.heapify(heap)
    while heap:
        count, _, address = heapq.heappop(heap)
        yield spare[address].pop()[1]
        if spare[address]:
            heapq.heappush(heap, (count + 1, spare[address][-1][0], address))
