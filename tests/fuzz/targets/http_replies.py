"""A stage's bytes on the wire, in pieces of any size, as the gateway's HTTP client reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from splitway.gateway.transport.http1 import BrokenConnection, BrokenReply, Reply, StageConnection
from tests.fuzz.target import Target, wait_for

_MAX_REPLY_BYTES = 2000
_MAX_KEPT_BYTES = 64 * 1024


class _Wire(asyncio.Transport):
    """Takes what is written and delivers nothing."""

    def write(self, data: object) -> None:
        """The request."""

    def writelines(self, list_of_data: object) -> None:
        """The request."""

    def abort(self) -> None:
        """Closed."""

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


def run(data: bytes) -> None:
    size, reply = (data[0] if data else 1) or 1, data[1:]
    whole = wait_for(_fed([reply]))
    pieces = wait_for(_fed([reply[start : start + size] for start in range(0, len(reply), size)]))
    assert type(whole) is type(pieces)
    if isinstance(whole, Reply) and isinstance(pieces, Reply):
        assert whole == pieces
        assert len(whole.body) <= _MAX_REPLY_BYTES
        assert whole.status >= 200


async def _fed(pieces: list[bytes]) -> Reply | type[Exception]:
    """What one connection makes of these bytes and of the end behind them."""
    connection = StageConnection(_MAX_REPLY_BYTES)
    connection.connection_made(_Wire())
    answer = connection.ask(b"POST / HTTP/1.1\r\n\r\n", b"body")
    for piece in pieces:
        connection.data_received(piece)
    connection.connection_lost(None)
    try:
        return await answer
    except (BrokenConnection, BrokenReply) as error:
        return BrokenReply if isinstance(error, BrokenReply) else BrokenConnection


def seeds() -> Iterator[bytes]:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: yes\r\n\r\nhello"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: t\r\n\r\n"
    to_the_end = b"HTTP/1.0 503 Later\r\nRetry-After: 1\r\n\r\nuntil it closes"
    early = b"HTTP/1.1 100 Continue\r\n\r\n" + ok
    too_long = b"HTTP/1.1 200 OK\r\nContent-Length: 2001\r\n\r\n" + bytes(2001)
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello"
    for reply in (ok, chunked, to_the_end, early, too_long, both, ok + ok, b"HTTP/1.1 204 N\r\n\r\n"):
        yield from (b"\x01" + reply, b"\x07" + reply, b"\xff" + reply)


TARGET = Target(
    run,
    seeds,
    (
        "HTTP/1.1 ",
        "Content-Length: ",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "Upgrade: x",
        "\r\n",
        "\r\n\r\n",
    ),
)
