"""The caller that a request is counted for: its key or token, else its address."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from splitway.security.callers.principal import known_caller
from splitway.security.networks import address_of

_SALT = secrets.token_bytes(16)
"""This process's own, so that what stages are told of a caller cannot be traced back to them."""


def caller_of(scope: Mapping[str, Any]) -> str:
    """Return who makes the request of this ASGI scope; empty where nothing is known."""
    return known_caller(scope) or address_of(scope)


@lru_cache(maxsize=4096)
def pseudonym(caller: str) -> str:
    """Return what stages know this caller by: always the same, and no more than that."""
    return hashlib.blake2b(caller.encode(), key=_SALT, digest_size=8).hexdigest()
