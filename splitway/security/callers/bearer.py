"""What a caller shows in a header: read as RFC 6750 writes it, and compared with what is kept."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
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


class KnownSecrets:
    """Secrets, any of which is taken.

    Args:
        secrets: as they are set.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._digests = [sha256(secret.encode()).digest() for secret in secrets]

    def have(self, sent: bytes) -> bool:
        """Whether one of them was sent, in a time that says nothing of where they differ."""
        digest = sha256(sent).digest()
        return any(hmac.compare_digest(digest, each) for each in self._digests)
