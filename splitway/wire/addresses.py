"""Which addresses are one caller's."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_IPV6_PREFIX = 64
"""One subscriber has at least so many addresses of IPv6."""


@lru_cache(maxsize=1024)
def counted_as(host: str) -> str:
    """What the addresses of one caller are counted as: an IPv4 address, or the /64 that a subscriber has of IPv6."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))


def address_of(scope: Mapping[str, Any]) -> str:
    """Whose request this ASGI scope is, by that; empty where nothing is known."""
    client = scope.get("client")
    return "" if client is None else counted_as(client[0])
