"""A request's head, and the address it is sent to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit


class Address(NamedTuple):
    """Address of a connection, and the expected peer; None without TLS."""

    host: str
    port: int
    peer: str | None


def request_head(method: str, url: str, headers: Mapping[str, str], length: int, peer: str) -> tuple[Address, bytes]:
    """Where a request goes to, and its line and headers. Raises ValueError for a header with a line break in it."""
    address, netloc, path = _where(url, peer)
    lines = [f"{method} {path} HTTP/1.1", f"host: {netloc}", *map(": ".join, headers.items())]
    if length or method == "POST":
        lines.append(f"content-length: {length}")
    head = "\r\n".join((*lines, "", ""))
    if not head.count("\r") == head.count("\n") == len(lines) + 1:
        names = ", ".join(repr(name) for name, value in headers.items() if not f"{name}{value}".isprintable())
        raise ValueError(f"there is a line break in {names or 'the line'}")
    return address, head.encode("latin-1")


@lru_cache(maxsize=1024)
def _where(url: str, peer: str) -> tuple[Address, str, str]:
    """Address, Host header and path of a URL; the same few come again and again."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    address = Address(parts.hostname or "", parts.port or (443 if is_tls else 80), peer if is_tls else None)
    return address, parts.netloc, parts.path or "/"
