"""Which requests are in a release's share: by chance, or by a key that always falls on the same side."""

from __future__ import annotations

import hashlib

from splitway.gateway.resilience import Chance

_POINTS = 1 << 64


def point_of(key: str, release: str) -> float:
    """Where a key stands for a release, from 0 up to 100; keys are spread evenly, and anew for each release."""
    digest = hashlib.sha256(f"{release}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _POINTS * 100


def in_share(percent: float, release: str, key: str | None, chance: Chance) -> bool:
    """Whether a request belongs to a release's share. As the share grows, keys move only into it."""
    point = chance() * 100 if key is None else point_of(key, release)
    return point < percent
