"""Where an identity provider's public keys are: a file, or an https address."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from splitway.errors import SetupError
from splitway.security.networks import is_exposed


def is_address(place: str) -> bool:
    """Whether keys are fetched from there; from a file otherwise."""
    return "://" in place


def check_keys_place(place: str) -> None:
    """Raise SetupError unless it is a file that is there, or an address that is safe to ask."""
    if not is_address(place):
        if not Path(place).is_file():
            raise SetupError(f"SPLITWAY_JWT_KEYS: no such file: {place}")
        return
    try:
        parts = urlsplit(place)
        is_one = bool(parts.hostname) and (parts.port or 443) > 0
    except ValueError:
        is_one = False
    is_safe = is_one and (parts.scheme == "https" or (parts.scheme == "http" and not is_exposed(parts.hostname or "")))
    if not is_safe:
        raise SetupError("SPLITWAY_JWT_KEYS must be a file, or an https address; http is accepted on this machine only")
