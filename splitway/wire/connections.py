"""Who is connected: how many connections each address has open, and one clock that looks after all of them."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.25
_TELL_EVERY_S = 60.0
_TURNED_AWAY = 64
"""Connections over the limit that are told so at the same time; the others are cut off without a word."""


class Connection(Protocol):
    """What is looked after."""

    address: str | None
    """Whom it is counted for; None for nobody."""

    def look(self, now_s: float) -> None:
        """Close it if its time is up."""


def counted_as(host: str) -> str:
    """Whose connections are counted together: an IPv4 address, or the /64 that one customer has of IPv6."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, 64), strict=False))


def address_of(scope: Mapping[str, Any]) -> str:
    """Whose request this ASGI scope is, by the same; empty where nothing is known."""
    client = scope.get("client")
    return "" if client is None else counted_as(client[0])


class Connections:
    """The open connections of one process.

    There is one timer for all of them, which runs while there are any: a timer for each request would cost more than
    the rest of this does.

    Args:
        per_address: how many one address may have; 0 for any number.
    """

    def __init__(self, per_address: int) -> None:
        self._per_address = per_address
        self._by_address: Counter[str] = Counter()
        self._open: set[Connection] = set()
        self._turned_away: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._refused: Counter[str] = Counter()
        self._tell_from_s = 0.0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def addresses(self) -> dict[str, int]:
        """How many connections each address has open."""
        return dict(self._by_address)

    def admit(self, connection: Connection, host: str | None) -> bool:
        """Look after a connection from now on, and count it; False, uncounted, if its address has enough."""
        self._open.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        if host is None or not self._per_address:
            return True
        address = counted_as(host)
        if self._by_address[address] >= self._per_address:
            return False
        self._by_address[address] += 1
        connection.address = address
        return True

    def may_be_told(self, connection: Connection) -> bool:
        """Whether there is room for one more connection that hears why it is turned away."""
        if len(self._turned_away) >= _TURNED_AWAY:
            return False
        self._turned_away.add(connection)
        return True

    def release(self, connection: Connection) -> None:
        """Forget a connection that is closed; one that was never admitted may be released as well."""
        self._open.discard(connection)
        self._turned_away.discard(connection)
        address, connection.address = connection.address, None
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def refused(self, reason: str) -> None:
        """Note that a caller was cut off; strangers fill no log, so there is one line a minute for all of them."""
        self._refused[reason] += 1

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)
        now_s = time.monotonic()
        for connection in tuple(self._open):
            connection.look(now_s)
        if self._refused and now_s >= self._tell_from_s:
            self._tell_from_s = now_s + _TELL_EVERY_S
            _log.warning("turned away: %s", ", ".join(f"{n} x {reason}" for reason, n in self._refused.most_common()))
            self._refused.clear()
