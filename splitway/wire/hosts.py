"""By which names a process answers: a web page that makes its own name point here (DNS rebinding) gets nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from splitway.errors import InvalidInput
from splitway.wire.http_errors import Render

_ANY = "*"
IsTaken = Callable[[str], bool]


def host_rule(named: str, *, exposed: bool) -> IsTaken | None:
    """Which Host headers are taken; None for all of them.

    Args:
        named: names, separated by commas, or `*`.
        exposed: whether others than this machine reach the process. Where they do not, a name that is not known can
            only be one that was made to point here.
    """
    names = frozenset(name.strip().lower() for name in named.split(",") if name.strip())
    if _ANY in names or (exposed and not names):
        return None

    @lru_cache(maxsize=1024)
    def is_taken(header: str) -> bool:
        host = _without_port(header.lower())
        return host in names or _is_of_this_network(host)

    return is_taken


class HostCheck:
    """ASGI app in front of another, which sees only requests that are addressed to it.

    Args:
        app: answers them.
        is_taken: tells of a Host header whether it names this process.
        render: turns a refusal into an answer.
    """

    def __init__(self, app: ASGIApp, is_taken: IsTaken, render: Render) -> None:
        self._app = app
        self._is_taken = is_taken
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = _host(scope["headers"])
            if host and not self._is_taken(host):  # an older client than HTTP/1.1 sends none
                error = InvalidInput(f"{host[:80]!r} is no name of this service; SPLITWAY_HOSTS lists those it has")
                await self._render(Request(scope, receive), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"host":
            return value.decode("latin-1")
    return ""


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_of_this_network(host: str) -> bool:
    """Whether a name can be nobody's: `localhost`, a container's, an address. Names that are sold have a dot."""
    if "." not in host and ":" not in host:
        return host.replace("-", "").replace("_", "").isalnum()
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
