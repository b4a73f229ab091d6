"""What a request's line and headers must be like before the app sees them: RFC 9112, read narrowly.

llhttp refuses invalid HTTP. This module refuses requests that two servers in a row could read differently (request
smuggling), and requests that no honest client sends.
"""

from __future__ import annotations

import re
import urllib.parse
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from splitway.errors import InvalidInput, SplitwayError, TooLarge
from splitway.names import TIMEOUT_HEADER, TOKEN_HEADER

Header = tuple[bytes, bytes]
_KNOWN = 64
"""Targets, and sets of headers, that are remembered: a service is asked for the same few."""
_ENOUGH = 256
"""Bytes of a target that tell which interface it is for."""
_VERSIONS = ("1.1", "1.0")
_AUTHORITY = rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
_HOST = re.compile(_AUTHORITY)
_TARGET = re.compile(rb"(?:(https?)://(" + _AUTHORITY + rb"))?(/[^?#]*|(?=[?]|\Z))(?:\?([^#]*))?", re.IGNORECASE)
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_ONCE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"inference-header-content-length",
        b"origin",
        b"sec-fetch-site",
        b"transfer-encoding",
        TIMEOUT_HEADER.encode(),
        TOKEN_HEADER.encode(),
    }
)
"""Of two of these, one reader takes the first and another the last."""
_FOR_THE_LAST_HOP = frozenset(
    {b"connection", b"forwarded", b"http2-settings", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""They describe the connection, or proxies that are not trusted: the app never sees them."""
_PREFIXES = (b"proxy-", b"x-forwarded-")
_UPGRADE = frozenset({b"connection", b"http2-settings", b"upgrade"})
_FOR_EVERY_HOP = frozenset({b"content-length", b"host", b"transfer-encoding"})
"""Whatever Connection says of them: without them a request has another end or another host."""


class Refusal(Exception):
    """A request that is refused, by an answer with this status, before there is one for the app."""

    def __init__(self, status: int, error: SplitwayError) -> None:
        super().__init__(error.detail)
        self.status = status
        self.error = error


def malformed(detail: str) -> Refusal:
    """The refusal of what is no valid HTTP."""
    return Refusal(400, InvalidInput(detail))


class RequestTarget(NamedTuple):
    """What a request's line asks for."""

    path: str
    """Decoded."""
    raw_path: bytes
    query: bytes
    authority: bytes | None
    """Of an absolute target, in lower case and without the scheme's own port."""


@lru_cache(_KNOWN)
def read_target(target: bytes) -> RequestTarget:
    """Read the target of any method but CONNECT. Raises Refusal."""
    if target == b"*":
        return RequestTarget("*", target, b"", None)
    found = _TARGET.fullmatch(target)
    scheme, authority, raw_path, query = (None,) * 4 if found is None else found.groups()
    if not raw_path and not authority:
        raise malformed("the target is neither a path nor an http URL")
    raw_path = raw_path or b"/"
    path = _decoded(raw_path)
    if authority is not None and scheme is not None:
        authority = _without_port(authority.lower(), scheme.lower())
    return RequestTarget(path, raw_path, query or b"", authority)


def path_of(target: bytes) -> str:
    """The path of a target that may be broken or cut short; what cannot be decoded stays as it is."""
    raw = target[:_ENOUGH].partition(b"?")[0]
    try:
        return read_target(raw).path
    except Refusal:
        return raw.decode("latin-1")


def _decoded(raw_path: bytes) -> str:
    if _BROKEN_ESCAPE.search(raw_path):
        raise malformed("the path has a % without two hex digits")
    try:
        path = urllib.parse.unquote_to_bytes(raw_path).decode() if b"%" in raw_path else raw_path.decode("ascii")
    except UnicodeDecodeError:
        raise malformed("the path is not UTF-8") from None
    if _CONTROL.search(path):
        raise malformed("the path has control characters in it")
    return path


def _without_port(authority: bytes, scheme: bytes) -> bytes:
    return authority.removesuffix(_DEFAULT_PORTS[scheme]).removesuffix(b":")


def check_target(target: RequestTarget, method: bytes, host: bytes | None, scheme: str) -> None:
    """Check what the target's form allows. Raises Refusal."""
    if target.path == "*" and method != b"OPTIONS":
        raise malformed("only OPTIONS may have * as its target")
    if target.authority is None or host is None:
        return
    if _without_port(host.lower(), scheme.encode()) != target.authority:
        raise malformed("the target names another host than the Host header")


class _Shape(NamedTuple):
    """What the mere names of a request's headers tell. Callers send the same ones again and again."""

    host: int | None
    """Where it stands among them."""
    repeated: str | None
    """A name that may be there only once, and is not."""
    coded: bool
    expects: bool
    drops: bool
    """Whether there is anything that the app must not see."""


@lru_cache(_KNOWN)
def _shape(names: bytes) -> _Shape:
    given = names.split(b"\n")
    repeated = next((name.decode() for name in _ONCE if given.count(name) > 1), None)
    drops = any(name in _FOR_THE_LAST_HOP or name.startswith(_PREFIXES) for name in given)
    host = given.index(b"host") if b"host" in given else None
    return _Shape(host, repeated, b"transfer-encoding" in given, b"expect" in given, drops)


def check_headers(headers: list[Header], version: str) -> tuple[bytes | None, bool]:
    """Check a request's headers and take away those that are not for the app.

    Args:
        headers: with names in lower case; what the app must not see is removed from the list itself.
        version: of HTTP, such as `1.1`.

    Returns:
        The host, and whether the caller waits to be told to go on.

    Raises:
        Refusal: the headers are contradictory, or not what RFC 9112 asks for.
    """
    if version not in _VERSIONS:
        raise malformed("only HTTP/1.1 and HTTP/1.0 are supported")
    names, _ = zip(*headers, strict=True) if headers else ((), ())
    shape = _shape(b"\n".join(names))
    if shape.repeated is not None:
        raise malformed(f"there are several headers called {shape.repeated}")
    host = None if shape.host is None else headers[shape.host][1]
    if host is None:
        if version == "1.1":
            raise malformed("there is no Host header")
    elif not _HOST.fullmatch(host):
        raise malformed("the Host header is not a valid host")
    if shape.coded:
        _check_transfer_encoding(dict(headers), version)
    if shape.expects and dict(headers)[b"expect"].lower() != b"100-continue":
        raise Refusal(417, InvalidInput("the only supported expectation is 100-continue"))
    if shape.drops:
        _keep_what_is_for_the_app(headers)
    return host, shape.expects and version == "1.1"


def _check_transfer_encoding(given: dict[bytes, bytes], version: str) -> None:
    if version != "1.1":
        raise malformed("HTTP/1.0 has no transfer-encoding")
    if b"content-length" in given:
        raise malformed("there are both a content-length and a transfer-encoding")
    if given[b"transfer-encoding"].lower() != b"chunked":
        raise malformed("the only supported transfer-encoding is chunked")


def _listed(headers: list[Header]) -> set[bytes]:
    """What the Connection headers name: those headers are for this hop alone."""
    lists = [value for name, value in headers if name == b"connection"]
    return {token.strip(b" \t").lower() for value in lists for token in value.split(b",")} - _FOR_EVERY_HOP


def _keep_what_is_for_the_app(headers: list[Header]) -> None:
    dropped = _FOR_THE_LAST_HOP | _listed(headers)
    headers[:] = [each for each in headers if each[0] not in dropped and not each[0].startswith(_PREFIXES)]


def check_size(url: bytes, headers: list[Header], max_bytes: int) -> None:
    """Raises Refusal if line and headers together are longer than they may be."""
    if len(url) + sum(map(len, chain.from_iterable(headers))) + 4 * len(headers) > max_bytes:
        raise headers_too_large(max_bytes)


def headers_too_large(max_bytes: int) -> Refusal:
    """The refusal of a head of too many bytes."""
    return Refusal(431, TooLarge(f"the request's line and headers are over the limit of {max_bytes} bytes"))


def without_upgrade(method: bytes, url: bytes, version: str, headers: list[Header]) -> bytes:
    """The head of the same request that asks for no other protocol, which a server may leave unanswered."""
    listed = _listed(headers)
    kept = [each for each in headers if each[0] not in _UPGRADE | listed]
    stays = [each for each in (b"close", b"keep-alive") if each in listed]
    if stays:
        kept.append((b"connection", b", ".join(stays)))
    lines = [b"%s %s HTTP/%s" % (method, url, version.encode()), *(b"%s: %s" % each for each in kept)]
    return b"\r\n".join(lines) + b"\r\n\r\n"
