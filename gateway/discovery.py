"""From a stage's addresses to its replicas: a name stands for every machine that it resolves to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit


async def resolve(urls: Sequence[str]) -> list[str]:
    """Return one URL per address. A name that cannot be resolved stands for itself, so that probes say so."""
    found: list[str] = []
    for url in urls:
        found += await _resolve_one(url)
    return list(dict.fromkeys(found))


async def _resolve_one(url: str) -> list[str]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if host == "localhost" or _is_address(host):
        return [url]
    try:
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError:
        return [url]
    return sorted({f"{parts.scheme}://{info[4][0]}:{port}" for info in infos})


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
