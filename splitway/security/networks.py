"""Hosts by their IP addresses: which of these are one subscriber's, and which are of this machine alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_IPV6_PREFIX = 64
"""One subscriber has at least so many addresses."""


def is_address(host: str) -> bool:
    """Whether a host is named by an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def subscriber_of(address: str) -> str:
    """Return an IPv4 address as it is, and of IPv6 the /64 that one subscriber has; what is no address as it is."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((ip, _IPV6_PREFIX), strict=False))


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the subscriber whose request this ASGI scope is; empty where nothing is known."""
    client = scope.get("client")
    return "" if client is None else subscriber_of(client[0])


def is_exposed(address: str) -> bool:
    """Whether an address that is listened on can be reached from other machines: what is open on loopback is closed
    beyond it. A name is taken to be reachable, but for `localhost`."""
    if address == "localhost":
        return False
    try:
        return not ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return True
