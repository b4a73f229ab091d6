"""The client on the hot path against servers that answer byte by byte as a test says."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from unittest.mock import Mock

import pytest

from splitway.errors import BadStageAnswer, DeadlineExceeded, Unavailable, Unreachable
from splitway.gateway.transport.http1 import BrokenConnection, BrokenReply, ConnectError, Reply, StageConnection
from splitway.gateway.transport.transport import CutOff, Transport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Thing: yes\r\n\r\nhello"


class Server:
    """Counts connections and keeps what was asked."""

    def __init__(self, *replies: bytes, then_close: bool = False) -> None:
        self.connections = 0
        self.asked: list[bytes] = []
        self._replies = list(replies)
        self._then_close = then_close

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self._replies:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                self.asked.append(head + await reader.readexactly(length))
                for byte in self._replies.pop(0).split(b"|"):
                    writer.write(byte)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self._then_close:
                    break
            else:
                await reader.read()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    writers: list[asyncio.StreamWriter] = []

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(kept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0.01)  # for the ends of both sides to be noticed


@pytest.fixture
def pool() -> Transport:
    return Transport(1000)


async def post(pool: Transport, url: str, body: bytes = b"abc", timeout_s: float = 2.0) -> Reply:
    headers = {"x-one": "1"}
    return await pool.call("stage", "POST", f"{url}/infer", timeout_s=timeout_s, headers=headers, body=body)


async def test_a_reply_in_pieces_is_put_together_and_the_connection_is_used_again(pool: Transport) -> None:
    server = Server(OK[:9] + b"|" + OK[9:40] + b"|" + OK[40:], OK)
    async with serving(server) as url:
        replies = [await post(pool, url) for _ in range(2)]
        pool.close()
    assert [(reply.status, reply.body, reply.headers["x-thing"]) for reply in replies] == [(200, b"hello", "yes")] * 2
    assert server.connections == 1
    assert server.asked[0].startswith(b"POST /infer HTTP/1.1\r\nhost: 127.0.0.1:")
    assert server.asked[0].endswith(b"x-one: 1\r\ncontent-length: 3\r\n\r\nabc")


async def test_a_chunked_reply_is_read(pool: Transport) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n|2\r\nlo\r\n0\r\n\r\n"
    async with serving(Server(chunked)) as url:
        reply = await post(pool, url)
        pool.close()
    assert reply.body == b"hello"


@pytest.mark.parametrize(
    "reply",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(2000),
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(300)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nx: " + b"y" * 200_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 300,
    ],
    ids=[
        "no http",
        "too long",
        "bad length",
        "two lengths",
        "too many headers",
        "an endless header",
        "an endless trailer",
        "endless hints",
    ],
)
async def test_a_reply_that_is_none_is_refused_and_its_connection_never_used_again(
    pool: Transport, reply: bytes
) -> None:
    server = Server(reply, OK)
    async with serving(server) as url:
        with pytest.raises(BadStageAnswer) as caught:
            await post(pool, url)
        assert type(caught.value.__cause__) is BrokenReply
        assert (await post(pool, url)).body == b"hello"
        pool.close()
    assert server.connections == 2


async def test_a_reply_without_headers_has_none(pool: Transport) -> None:
    async with serving(Server(b"HTTP/1.1 204 No Content\r\n\r\n")) as url:
        reply = await post(pool, url)
        pool.close()
    assert (reply.status, reply.headers, reply.body) == (204, {}, b"")


async def test_what_interim_replies_and_trailers_say_is_not_said_by_the_reply(pool: Transport) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Thing: 1\r\nX-Thing: 2\r\n\r\n5\r\nhello\r\n0\r\n"
    async with serving(Server(hint + chunked + b"X-Thing: 3\r\nX-Other: 4\r\n\r\n")) as url:
        reply = await post(pool, url)
        pool.close()
    assert (reply.headers, reply.body) == ({"transfer-encoding": "chunked", "x-thing": "2"}, b"hello")


@pytest.mark.parametrize(
    ("received", "heads"),
    [
        (b"HTTP/1.1 100 C\r\n\r\n" * 5000, 17),
        (b"HTTP/1.1 100 C\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(5000)) + b"\r\n" + OK, 1),
        (OK * 5000, 1),
    ],
    ids=["interim replies", "headers", "replies that nobody asked for"],
)
async def test_no_more_heads_are_read_than_a_reply_can_have(received: bytes, heads: int) -> None:
    """All that comes at once is read at once, and nobody else is served meanwhile."""
    connection = StageConnection(1000)
    connection.connection_made(Mock(spec=asyncio.Transport))
    reply = connection.ask(b"GET / HTTP/1.1\r\n\r\n", b"")
    connection.data_received(received)
    assert connection._heads == heads
    assert not connection.reusable
    assert isinstance(reply.exception(), BrokenReply) or reply.result().body == b"hello"


async def test_a_reply_that_breaks_off(pool: Transport) -> None:
    async with serving(Server(OK[:-2], then_close=True)) as url:
        with pytest.raises(CutOff) as caught:
            await post(pool, url)
    assert caught.value.private.endswith(": the reply ends early")


async def test_a_connection_that_ends_before_the_reply(pool: Transport) -> None:
    async with serving(Server(b"", then_close=True)) as url:
        with pytest.raises(Unavailable) as caught:
            await post(pool, url)
    assert type(caught.value.__cause__) is BrokenConnection


async def test_bytes_that_nobody_asked_for_end_the_connection(pool: Transport) -> None:
    """A second reply behind the first must never become the answer to somebody else's question."""
    server = Server(OK + OK, OK)
    async with serving(server) as url:
        await post(pool, url)
        reply = await post(pool, url)
        pool.close()
    assert reply.body == b"hello"
    assert server.connections == 2


async def test_a_connection_the_server_closed_while_idle_is_not_used(pool: Transport) -> None:
    server = Server(OK, OK, then_close=True)
    async with serving(server) as url:
        await post(pool, url)
        await asyncio.sleep(0.05)
        assert (await post(pool, url)).status == 200
        pool.close()
    assert server.connections == 2


@pytest.mark.parametrize("reply", [OK, OK[:-2], b"", b"garbage\r\n\r\n"], ids=["whole", "cut short", "none", "no http"])
async def test_a_connection_that_has_ended_is_freed_without_the_garbage_collector(
    pool: Transport, reply: bytes
) -> None:
    gc.collect()
    gc.disable()
    try:
        async with serving(Server(reply, then_close=True)) as url:
            with suppress(Unavailable, BadStageAnswer):
                await post(pool, url)
            await asyncio.sleep(0.05)
        pool.close()
        assert not [thing for thing in gc.get_objects() if type(thing) is StageConnection]
    finally:
        gc.enable()


async def test_a_server_that_asks_to_close_is_not_asked_again(pool: Transport) -> None:
    closing = OK.replace(b"X-Thing: yes", b"Connection: close")
    server = Server(closing, OK)
    async with serving(server) as url:
        await post(pool, url)
        await post(pool, url)
        pool.close()
    assert server.connections == 2


async def test_silence_ends_with_the_time_limit_and_the_connection_with_it(pool: Transport) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as url:
        with pytest.raises(DeadlineExceeded):
            await post(pool, url, timeout_s=0.05)
        assert pool.idle == 0


async def test_nobody_there(pool: Transport, unused_tcp_port: int) -> None:
    with pytest.raises(Unreachable) as caught:
        await post(pool, f"http://127.0.0.1:{unused_tcp_port}")
    assert type(caught.value.__cause__) is ConnectError


async def test_idle_connections_expire() -> None:
    pool = Transport(1000, keepalive_s=0.05)
    async with serving(Server(OK)) as url:
        await post(pool, url)
        assert pool.idle == 1
        async with asyncio.timeout(10):
            while pool.idle:  # noqa: ASYNC110 - the pool has no event for it
                await asyncio.sleep(0.01)


async def test_a_header_cannot_smuggle_another(pool: Transport) -> None:
    with pytest.raises(ValueError, match="line break"):
        await pool.call("stage", "GET", "http://127.0.0.1:1/", timeout_s=1.0, headers={"x": "a\r\ny: b"})


async def test_a_caller_who_leaves_takes_the_connection_along(pool: Transport) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    async with serving(server) as url:
        task = asyncio.create_task(post(pool, url))
        while not server.asked:  # noqa: ASYNC110 - what is waited for happens in the server
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.idle == 0
