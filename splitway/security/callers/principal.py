"""Callers and their scopes, and what they show in a header: read as RFC 6750 writes it, compared with what is kept."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

from splitway.errors import Forbidden, Unauthorized

Scope = Literal["infer", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What a caller may be allowed: to have work done, to see how the pipeline does, to change what it serves."""
_STATE = "principal"
_SCHEME = "bearer "


@dataclass(frozen=True)
class Principal:
    """A caller who has shown who they are.

    Args:
        id: of the key, or of the token's subject; stands in logs and metrics, so nothing secret.
        scopes: what they may do.
        cost_per_minute: what they may spend; None for what everybody may.
        concurrency: requests they may have under way at once; None for what everybody may.
    """

    id: str
    scopes: frozenset[Scope]
    cost_per_minute: int | None = None
    concurrency: int | None = None

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the scope is one of theirs."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope!r}; yours: {', '.join(sorted(self.scopes)) or 'none'}")


def principal_of(scope: Mapping[str, Any]) -> Principal | None:
    """The authenticated caller of this ASGI scope; None without authentication."""
    found = scope.get("state", {}).get(_STATE)
    return found if isinstance(found, Principal) else None


def known_caller(scope: Mapping[str, Any]) -> str:
    """The id of the authenticated caller of this ASGI scope; empty without authentication."""
    principal = principal_of(scope)
    return "" if principal is None else principal.id


def set_principal(scope: Mapping[str, Any], principal: Principal) -> None:
    """Note who makes the request of this ASGI scope, which has a `state`."""
    scope["state"][_STATE] = principal


def bearer(header: str | None) -> str:
    """Return what a caller shows in the Authorization header. Raises Unauthorized where it shows nothing."""
    if header is None:
        raise Unauthorized("this needs the header Authorization: Bearer <key>")
    if header[: len(_SCHEME)].lower() != _SCHEME:
        raise Unauthorized("the header Authorization must be: Bearer <key>")
    return header[len(_SCHEME) :].strip()


class KnownSecrets:
    """Secrets, any of which is taken."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._digests = [sha256(secret.encode()).digest() for secret in secrets]

    def have(self, sent: bytes) -> bool:
        """Whether one of them was sent, in a time that says nothing of where they differ."""
        digest = sha256(sent).digest()
        return any(hmac.compare_digest(digest, each) for each in self._digests)
