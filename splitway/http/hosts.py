"""By which names a process answers, and to which web pages.

A page that makes its own name point here (DNS rebinding) gets nothing; of one that sends something here (`origins`)
nothing is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from splitway.errors import Forbidden, InvalidInput, SplitwayError
from splitway.http.errors import Render
from splitway.http.origins import IsForeign, origin_rule
from splitway.security.networks import is_address
from splitway.security.settings import SecuritySettings

_ANY = "*"
IsTaken = Callable[[bytes], bool]


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
    def is_taken(header: bytes) -> bool:
        host = _without_port(header.decode("latin-1").lower())
        return host in names or _is_of_this_network(host)

    return is_taken


def host_check(settings: SecuritySettings, render: Render, *, exposed: bool) -> Callable[[ASGIApp], ASGIApp] | None:
    """What puts the check of the headers Host and Origin in front of an app; None where all of them are taken."""
    is_open = not exposed or settings.auth == "open-to-everyone"
    is_taken = host_rule(settings.hosts, exposed=exposed)
    is_foreign = origin_rule(settings.origins, is_open=is_open)
    if is_taken is None and is_foreign is None:
        return None
    return partial(HostCheck, is_taken=is_taken, is_foreign=is_foreign, render=render)


class HostCheck:
    """ASGI app in front of another, which sees only requests that are addressed to it, and none of foreign web pages.

    Args:
        app: answers them.
        is_taken: tells of a Host header whether it names this process; None if any does.
        is_foreign: tells of a request whether a foreign page makes it; None if any page may.
        render: turns a refusal into an answer.
    """

    def __init__(self, app: ASGIApp, is_taken: IsTaken | None, is_foreign: IsForeign | None, render: Render) -> None:
        self._app = app
        self._is_taken = is_taken
        self._is_foreign = is_foreign
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers: dict[bytes, bytes] = dict(scope["headers"])
            host = headers.get(b"host")  # an older client than HTTP/1.1 sends none
            error: SplitwayError | None = None
            if host and self._is_taken is not None and not self._is_taken(host):
                name = host.decode("latin-1")[:80]
                error = InvalidInput(f"{name!r} is not an allowed host name; SPLITWAY_HOSTS lists those that are")
            elif self._is_foreign is not None and self._is_foreign(scope["method"], headers):
                origin = headers.get(b"origin", b"another site").decode("latin-1")[:80]
                error = Forbidden(
                    f"a web page of {origin!r} may not use this service; SPLITWAY_ORIGINS lists those that may"
                )
            if error is not None:
                await self._render(Request(scope, receive), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_of_this_network(host: str) -> bool:
    """Whether a name cannot be registered: `localhost`, a container's, an address. Registered names have a dot."""
    if "." not in host and ":" not in host:
        return host.replace("-", "").replace("_", "").isalnum()
    return is_address(host)
