"""By which names a process answers, and to which web pages.

A page that makes its own name point here (DNS rebinding) gets nothing; of one that sends something here nothing is
taken.

A page of any site can send a form or a picture to 127.0.0.1 from the browsers of those who look at it, without being
allowed to read what is answered. Browsers say of each request where it comes from, which a page cannot change; what is
no browser says nothing and is not asked. The rule is that of Go's `http.CrossOriginProtection`: what the browser says
of the request (`Sec-Fetch-Site`) counts, for it knows the address that its user sees, whatever proxy is in between;
older ones say the page's origin alone, whose host and port must then be those of the Host header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from splitway.errors import Forbidden, InvalidInput, SplitwayError
from splitway.http.errors import Render
from splitway.security.networks import is_address
from splitway.security.settings import SecuritySettings

_ANY = "*"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing; a page cannot read their answers."""
_SAID_BY_BROWSERS = frozenset({b"origin", b"sec-fetch-site"})
_OWN_SITE = frozenset({b"same-origin", b"none"})
"""`none` is what the user asked for, not a page. Another port or name of the same site is another's page."""
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
IsTaken = Callable[[bytes], bool]
IsForeign = Callable[[str, Mapping[bytes, bytes]], bool]
"""Whether a request with this method and these headers is one that a foreign page makes."""


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


def origin_rule(named: str, *, is_open: bool) -> IsForeign | None:
    """Which requests of browsers are refused; None for none of them.

    Args:
        named: origins whose pages may send any, separated by commas, or `*`.
        is_open: whether the process is reached from this machine alone, or open to everyone. Elsewhere callers show
            what a foreign page does not have: a key, a token or a certificate.
    """
    names = frozenset(name.strip().lower().rstrip("/").encode() for name in named.split(",") if name.strip())
    if _ANY.encode() in names or not is_open:
        return None

    def is_foreign(method: str, headers: Mapping[bytes, bytes]) -> bool:
        if _SAID_BY_BROWSERS.isdisjoint(headers) or method in _SAFE:
            return False
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin is not None and origin.lower() in names:
            return False
        if site is not None:
            return site.lower() not in _OWN_SITE
        return origin is not None and not _is_of(origin.lower(), headers.get(b"host", b"").lower())

    return is_foreign


def host_check(settings: SecuritySettings, render: Render, *, exposed: bool) -> Callable[[ASGIApp], ASGIApp] | None:
    """What puts the check of the headers Host and Origin in front of an app; None where all of them are taken."""
    is_open = not exposed or settings.auth == "open-to-everyone"
    is_taken = host_rule(settings.hosts, exposed=exposed)
    is_foreign = origin_rule(settings.origins, is_open=is_open)
    if is_taken is None and is_foreign is None:
        return None

    def layer(app: ASGIApp) -> ASGIApp:
        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                headers: dict[bytes, bytes] = dict(scope["headers"])
                host = headers.get(b"host")  # an older client than HTTP/1.1 sends none
                error: SplitwayError | None = None
                if host and is_taken is not None and not is_taken(host):
                    name = host.decode("latin-1")[:80]
                    error = InvalidInput(f"{name!r} is not an allowed host name; SPLITWAY_HOSTS lists those that are")
                elif is_foreign is not None and is_foreign(scope["method"], headers):
                    origin = headers.get(b"origin", b"another site").decode("latin-1")[:80]
                    says = f"a web page of {origin!r} may not use this service; SPLITWAY_ORIGINS lists those that may"
                    error = Forbidden(says)
                if error is not None:
                    await render(Request(scope, receive), error)(scope, receive, send)
                    return
            await app(scope, receive, send)

        return checked

    return layer


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_of_this_network(host: str) -> bool:
    """Whether a name cannot be registered: `localhost`, a container's, an address. Registered names have a dot."""
    if "." not in host and ":" not in host:
        return host.replace("-", "").replace("_", "").isalnum()
    return is_address(host)


def _is_of(origin: bytes, host: bytes) -> bool:
    """Whether an origin has this host and port. Its scheme may be a proxy's, and says which port may be left out."""
    scheme, _, authority = origin.partition(b"://")
    return bool(authority) and authority in {host, host.removesuffix(_DEFAULT_PORTS.get(scheme, b":"))}
