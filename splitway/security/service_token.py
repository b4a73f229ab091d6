"""A secret shared by the gateway and its stages: requests without it are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from splitway.errors import SetupError, SplitwayError, Unauthorized
from splitway.names import TOKEN_HEADER
from splitway.security.callers.principal import KnownSecrets

_HEADER = TOKEN_HEADER.encode()
OPEN = frozenset(("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"))
"""For orchestrators and monitoring."""
_SHORTEST, _LONGEST = 16, 1024


def read_tokens(setting: SecretStr | None) -> tuple[str, ...]:
    """The tokens of a setting: the one that is sent, and after a comma others that are taken; none if it is not set.

    Raises:
        SetupError: one that cannot be sent, or that is short enough to be guessed.
    """
    if setting is None:
        return ()
    tokens = tuple(part.strip() for part in setting.get_secret_value().split(","))
    for token in tokens:
        if not _SHORTEST <= len(token) <= _LONGEST or not token.isascii() or not token.isprintable() or " " in token:
            raise SetupError(
                f"SPLITWAY_SERVICE_TOKEN: a token has {_SHORTEST} to {_LONGEST} letters, digits and signs without "
                "spaces; two are separated by a comma. openssl rand -hex 32 makes one"
            )
    return tokens


class ServiceToken:
    """ASGI app in front of a stage's: of a request without one of the tokens not a byte of the body is read."""

    def __init__(
        self, app: ASGIApp, tokens: Sequence[str], render: Callable[[Request, SplitwayError], Response]
    ) -> None:
        self._app = app
        self._tokens = KnownSecrets(tokens)
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or self._is_taken(scope):
            await self._app(scope, receive, send)
            return
        error = Unauthorized(f"this stage requires its token in the header {TOKEN_HEADER}")
        await self._render(Request(scope, receive), error)(scope, receive, send)

    def _is_taken(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name == _HEADER]
        return len(sent) == 1 and self._tokens.have(sent[0])
