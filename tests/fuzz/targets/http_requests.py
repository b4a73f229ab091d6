"""A caller's bytes on the wire, in pieces of any size, as the services' HTTP server takes requests out of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from splitway.errors import SplitwayError
from splitway.http.server.connections import ConnectionLimits, ConnectionRoom, Connections
from splitway.http.server.guarded import guarded_protocol
from tests.fuzz.target import Target, wait_for

_LIMITS = ConnectionLimits(max_header_bytes=1024, max_headers=20, max_url_bytes=256, max_pipelined=10_000)
_TURNS = 50
"""Of the loop, in which all that was asked is answered."""
_HIDDEN = (b"connection", b"transfer-encoding", b"upgrade", b"x-forwarded-for")
Seen = list[tuple[object, ...]]


class _Wire(asyncio.Transport):
    """Keeps what is answered."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.sent = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """All comes at once here."""

    def resume_reading(self) -> None:
        """All comes at once here."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """All is read at once."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nothing more is answered."""


_seen: Seen = []


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    headers, body, more = tuple(scope["headers"]), b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message.get("body", b""), message.get("more_body", False)
    assert headers == tuple(scope["headers"]), "a trailer became a header"
    assert not any(name in _HIDDEN for name, _ in headers)
    _seen.append((scope["method"], scope["path"], scope["query_string"], headers, body))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def _refuse(error: SplitwayError, status: int, _path: str) -> tuple[str, bytes]:
    assert 400 <= status < 500
    return "text/plain", error.detail.encode()


@cache
def _protocol() -> tuple[type[HttpToolsProtocol], Config]:
    config = Config(_app, log_config=None, log_level="critical", access_log=False, lifespan="off")
    config.load()
    return guarded_protocol(_LIMITS, _refuse, Connections(ConnectionRoom())), config


def run(data: bytes) -> None:
    size, sent = (data[0] if data else 1) or 1, data[1:]
    whole = wait_for(_fed([sent]))
    pieces = wait_for(_fed([sent[start : start + size] for start in range(0, len(sent), size)]))
    assert whole == pieces, f"{whole} as a whole, {pieces} in pieces of {size}"


async def _fed(pieces: list[bytes]) -> Seen:
    """The requests that the app sees of these bytes."""
    _seen.clear()
    kind, config = _protocol()
    connection, wire = kind(config, ServerState(), {}, asyncio.get_running_loop()), _Wire()
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
        await asyncio.sleep(0)
    await _until_quiet()
    statuses = [int(line.split()[1]) for line in wire.sent.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert all(status in {100, 200} or 400 <= status < 500 for status in statuses), statuses
    connection.connection_lost(None)
    await _until_quiet()
    return [*_seen]


async def _until_quiet() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


def seeds() -> Iterator[bytes]:
    get = b"GET /livez?x=%41 HTTP/1.1\r\nHost: a\r\n\r\n"
    post = b"POST /v1/classify HTTP/1.1\r\nHost: a:80\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc"
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: t\r\n\r\n"
    both = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    expects = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
    last = b"GET http://a/ HTTP/1.0\r\nHost: a\r\nConnection: close, x-a\r\nX-Forwarded-For: b\r\n\r\n"
    several, star = get + post + chunked + get, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
    for request in (get, post, chunked, both, upgrade, expects, last, several, star):
        yield from (b"\x01" + request, b"\x05" + request, b"\x40" + request)


TARGET = Target(
    run,
    seeds,
    (
        "GET ",
        "POST / HTTP/1.1\r\n",
        "Host: a\r\n",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\n",
        "Connection: ",
        "Upgrade: ",
        "Expect: 100-continue\r\n",
        "X-Forwarded-For: ",
        "Authorization: ",
        "\r\n\r\n",
        "0\r\n\r\n",
        "HTTP/1.0",
    ),
    max_bytes=2048,
)
