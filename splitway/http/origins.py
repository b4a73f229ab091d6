"""Which web pages may have a browser send requests that do something: those of this service, and those that are named.

A page of any site can send a form or a picture to 127.0.0.1 from the browsers of those who look at it, without being
allowed to read what is answered. Browsers say of each request where it comes from, which a page cannot change; what is
no browser says nothing and is not asked. The rule is that of Go's `http.CrossOriginProtection`: what the browser says
of the request (`Sec-Fetch-Site`) counts, for it knows the address that its user sees, whatever proxy is in between;
older ones say the page's origin alone, whose host and port must then be those of the Host header.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

_ANY = "*"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing; a page cannot read their answers."""
_SAID_BY_BROWSERS = frozenset({b"origin", b"sec-fetch-site"})
_OWN_SITE = frozenset({b"same-origin", b"none"})
"""`none` is what the user asked for, not a page. Another port or name of the same site is another's page."""
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
IsForeign = Callable[[str, Mapping[bytes, bytes]], bool]
"""Whether a request with this method and these headers is one that a foreign page makes."""


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


def _is_of(origin: bytes, host: bytes) -> bool:
    """Whether an origin has this host and port. Its scheme may be a proxy's, and says which port may be left out."""
    scheme, _, authority = origin.partition(b"://")
    return bool(authority) and authority in {host, host.removesuffix(_DEFAULT_PORTS.get(scheme, b":"))}
