"""The Authorization header, read as RFC 6750 writes it."""

from __future__ import annotations

import hmac
from hashlib import sha256

from splitway.errors import Unauthorized

_SCHEME = "bearer "


def bearer(header: str | None) -> str:
    """Return what a caller shows in the Authorization header. Raises Unauthorized where it shows nothing."""
    if header is None:
        raise Unauthorized("this needs the header Authorization: Bearer <key>")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthorized("the header Authorization must be: Bearer <key>")
    return header[len(_SCHEME) :].strip()


def same_secret(given: str, kept: str) -> bool:
    """Whether a secret out of a header is the one that is kept, in a time that says nothing of where they differ."""
    sent = given.encode("latin-1")  # as headers are read: these are the bytes that were sent
    return hmac.compare_digest(sha256(sent).digest(), sha256(kept.encode()).digest())
