"""HTTP/1.1 to the stages over kept-alive connections: bytes in, bytes out, and nothing that the gateway does not need.

No redirects, cookies, proxies, compression or pipelining. httptools (llhttp) reads the replies; a connection whose
reply is cut short, too long or followed by more than was asked for is closed and never used again. Over TLS nothing is
sent before it is known who is at the other end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from splitway.security.identities.tls import peer_service
from splitway.wire.gathered import Body, Gathered

_MAX_HEAD_BYTES = 64 * 1024
_MAX_HEADERS = 256
_MAX_HEADS = 16
"""Of a reply and of the interim ones (100, 103) before it."""


class Address(NamedTuple):
    """Address of a connection, and the expected peer; None without TLS."""

    host: str
    port: int
    peer: str | None


def request_head(method: str, url: str, headers: Mapping[str, str], length: int, peer: str) -> tuple[Address, bytes]:
    """Where a request goes to, and its line and headers. Raises ValueError for a header with a line break in it."""
    address, netloc, path = _where(url, peer)
    lines = [f"{method} {path} HTTP/1.1", f"host: {netloc}", *map(": ".join, headers.items())]
    if length or method == "POST":
        lines.append(f"content-length: {length}")
    head = "\r\n".join((*lines, "", ""))
    if not head.count("\r") == head.count("\n") == len(lines) + 1:
        names = ", ".join(repr(name) for name, value in headers.items() if not f"{name}{value}".isprintable())
        raise ValueError(f"there is a line break in {names or 'the line'}")
    return address, head.encode("latin-1")


@lru_cache(maxsize=1024)
def _where(url: str, peer: str) -> tuple[Address, str, str]:
    """Address, Host header and path of a URL; the same few come again and again."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    address = Address(parts.hostname or "", parts.port or (443 if is_tls else 80), peer if is_tls else None)
    return address, parts.netloc, parts.path or "/"


class ConnectError(Exception):
    """No connection was made: the request provably did not arrive."""


class BrokenConnection(Exception):
    """The connection ended before a reply began."""


class BrokenReply(Exception):
    """The reply is no HTTP, ends early, or is longer than allowed."""


class CutReply(BrokenReply):
    """The connection ended before the reply did."""


class Reply(NamedTuple):
    """A reply with its body complete. Header names are in lower case; of several spelt alike the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StageConnection(asyncio.Protocol):
    """One connection: at most one request at a time, which is this object's future."""

    def __init__(self, max_reply_bytes: int) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._raw_headers: dict[bytes, bytes] = {}
        self._headers: Mapping[str, str] = {}
        self._chunks: list[bytes] = []
        self._size = self._received = 0
        self._heads = 0
        self.idle_since_s = 0.0
        self.generation = 0
        """Of the identity that it was made with."""
        self.reusable = False

    @property
    def peer(self) -> str | None:
        """Which service is at the other end; None without TLS."""
        return peer_service(self._transport.get_extra_info("ssl_object")) if self._transport is not None else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.reusable = True

    def ask(self, request: bytes, body: Body) -> asyncio.Future[Reply]:
        """Send one request; the future ends with its reply or with one of the errors above."""
        assert self._transport is not None
        self.reusable = False
        self._raw_headers, self._headers, self._chunks = {}, {}, []
        self.on_header = self._raw_headers.__setitem__  # called for every header: without a step of Python
        self._parser = httptools.HttpResponseParser(self)
        self._size = self._received = 0
        self._heads = 0
        self._reply = asyncio.get_running_loop().create_future()
        if type(body) is not bytes:
            self._transport.writelines((request, *cast("Gathered", body).parts))
        else:
            self._transport.writelines((request, body)) if body else self._transport.write(request)
        return self._reply

    def time_is_up(self) -> None:
        self._fail(TimeoutError())

    def close(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._reply is None or self._reply.done():
            self.close()  # unexpected bytes
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, BrokenReply) else BrokenReply(f"is not valid HTTP: {error}"))
        self._received += len(data)
        if self._is_too_long():
            self._fail(BrokenReply(f"is longer than {self._max_reply_bytes} bytes"))
        elif (self._heads == 0 and self._received > _MAX_HEAD_BYTES) or len(self._raw_headers) > _MAX_HEADERS:
            self._fail(BrokenReply("has endless headers"))

    def _is_too_long(self) -> bool:
        """Of its body, or of all that is around it: trailers, and what frames chunks."""
        return self._size > self._max_reply_bytes or self._received > 2 * self._max_reply_bytes + _MAX_HEAD_BYTES

    def connection_lost(self, exc: Exception | None) -> None:
        begun = self._reply is not None and bool(self._raw_headers)
        error = CutReply("ends early") if begun else BrokenConnection(str(exc or "closed"))
        error.__cause__ = exc
        self._fail(error)
        self._parser = self._reply = self._transport = None  # each of them holds this connection

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error)

    # What httptools calls while it reads. An exception is the only way to stop it.

    def on_message_begin(self) -> None:
        if self._reply is None or self._reply.done():
            raise BrokenReply("is followed by an unexpected reply")

    def on_headers_complete(self) -> None:
        self._heads += 1
        raw = self._raw_headers
        if self._heads > _MAX_HEADS or len(raw) > _MAX_HEADERS:
            raise BrokenReply("has endless headers")
        assert self._parser is not None
        if self._parser.get_status_code() < 200:
            raw.clear()  # what an interim reply says is not said by the one behind it
        elif raw:
            names, values = b"\n".join(raw).decode("latin-1"), b"\n".join(raw.values()).decode("latin-1")
            self._headers = dict(zip(names.lower().split("\n"), values.split("\n"), strict=True))

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= self._max_reply_bytes:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        assert self._reply is not None
        status = self._parser.get_status_code()
        if status < 200 or self._size > self._max_reply_bytes:
            return
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self.reusable = bool(self._parser.should_keep_alive())
        self._reply.set_result(Reply(status, self._headers, body))
