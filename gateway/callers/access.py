"""Access to the gateway: the key or token of every request is checked before anything else.

RFC 6750: 401 without valid credentials, 403 without the scope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from splitway.errors import SplitwayError
from splitway.http.errors import Render
from splitway.security.callers.keys import KEY_PREFIX, KeyRing
from splitway.security.callers.principal import Principal, Scope, bearer, set_principal
from splitway.security.service_token import OPEN as HEALTH
from splitway.telemetry.metrics import PATH as METRICS
from splitway.telemetry.metrics import may_read
from splitway.telemetry.settings import Network

if TYPE_CHECKING:
    from splitway.gateway.callers.jwks import TokenVerifier

_OPEN = HEALTH | {"/"}
"""Health, for orchestrators and load balancers; and the page, which holds no data and asks for a key itself."""
_OPEN_BELOW = "/page/"
_SCOPES: dict[str, Scope] = {METRICS: "metrics", "/v1/pipeline": "metrics", "/v1/requests": "metrics"}
_ADMIN_BELOW = "/v2/repository"


def needed_scope(path: str) -> Scope | None:
    """Scope this path requires, or None if it is public. Unknown paths require `infer`, so that routes cannot be probed
    without a key."""
    if path in _OPEN or path.startswith(_OPEN_BELOW):
        return None
    if path.startswith(_ADMIN_BELOW):
        return "admin"
    return _SCOPES.get(path, "infer")


@dataclass(frozen=True)
class Means:
    """How callers show who they are: by API keys, by tokens of an identity provider, or by both."""

    keys: KeyRing | None
    tokens: TokenVerifier | None

    async def principal(self, credential: str) -> Principal:
        """Return who holds this key or token. Raises Unauthorized, or Unavailable where that cannot be found out."""
        if self.keys is not None and (self.tokens is None or credential.startswith(KEY_PREFIX)):
            return self.keys.verify(credential)
        assert self.tokens is not None
        return await self.tokens.verify(credential)


@dataclass(eq=False, repr=False)
class Access:
    """ASGI app in front of another, which sees only requests of callers who may make them."""

    app: ASGIApp
    means: Means
    metrics_networks: tuple[Network, ...]
    """Whose callers read /metrics without a key."""
    refuse: Render

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        needed = needed_scope(scope["path"])
        if needed is not None and not self._is_known_reader(scope):
            try:
                await self._admit(scope, needed)
            except SplitwayError as error:
                await self.refuse(Request(scope, receive), error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _admit(self, scope: AsgiScope, needed: Scope) -> None:
        principal = await self.means.principal(_credential(scope))
        set_principal(scope, principal)  # before the rest, for a refusal says whose it is
        principal.require(needed)

    def _is_known_reader(self, scope: AsgiScope) -> bool:
        """Whether /metrics is asked for from a network that is named; this machine is none: a proxy may run on it."""
        if scope["path"] != METRICS or not self.metrics_networks:
            return False
        client = scope.get("client")
        return client is not None and may_read(client[0], self.metrics_networks, loopback=False)


def _credential(scope: AsgiScope) -> str:
    """What the caller shows. Raises Unauthorized where that is nothing."""
    header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    return bearer(None if header is None else header.decode("latin-1"))
