"""HTTP/1.1 to the stages over kept-alive connections: bytes in, bytes out, and nothing that the gateway does not need.

No redirects, cookies, proxies, compression or pipelining. httptools (llhttp) reads the replies; a connection whose
reply is cut short, too long or followed by more than was asked for is closed and never used again. Over TLS nothing is
sent before it is known who is at the other end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple, cast

import httptools

from splitway.gateway.transport.http1_errors import BrokenConnection, BrokenReply, ConnectError, CutReply, WrongPeer
from splitway.gateway.transport.request_head import Address, request_head
from splitway.security.identities.tls import Identity, peer_service
from splitway.wire.gathered import Body, Gathered

_MAX_HEAD_BYTES = 64 * 1024
_MAX_HEADERS = 256
_MAX_HEADS = 16
"""Of a reply and of the interim ones (100, 103) before it."""


class Reply(NamedTuple):
    """A reply with its body complete. Header names are in lower case; of several spelt alike the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Connection(asyncio.Protocol):
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


class HttpPool:
    """Connections by address; the one used last is used next, the others expire.

    Args:
        max_reply_bytes: of one reply's body.
        keepalive_s: how long an idle connection is kept; shorter than the server keeps it.
        connect_timeout_s: how long making a connection may take.
        identity: the gateway's own, for https. When it is another, connections made before are used no more.
    """

    def __init__(
        self, max_reply_bytes: int, *, keepalive_s: float, connect_timeout_s: float, identity: Identity | None = None
    ) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._keepalive_s = keepalive_s
        self._connect_timeout_s = connect_timeout_s
        self._identity = identity
        self._idle: dict[Address, list[_Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for their next request."""
        return sum(len(connections) for connections in self._idle.values())

    def close(self) -> None:
        """Close every idle connection and make no more."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def call(
        self, method: str, url: str, headers: Mapping[str, str], body: Body, timeout_s: float, *, peer: str = ""
    ) -> Reply:
        """Send one request and wait for its whole reply. Over https only the service `peer` receives it.

        Raises:
            ConnectError, BrokenConnection, BrokenReply: see there.
            TimeoutError: no whole reply within `timeout_s`.
        """
        address, request = request_head(method, url, headers, len(body), peer)
        ends_s = time.monotonic() + timeout_s
        connection = self._take(address) or await self._connect(address, timeout_s)
        answer = connection.ask(request, body)
        timer = asyncio.get_running_loop().call_later(ends_s - time.monotonic(), connection.time_is_up)
        try:
            reply = await answer
        except BaseException:
            connection.close()
            raise
        finally:
            timer.cancel()
            del answer  # which holds its error, whose traceback holds this call
        if connection.reusable:
            self._put_back(address, connection)
        else:
            connection.close()
        return reply

    def _take(self, address: Address) -> _Connection | None:
        connections = self._idle.get(address, [])
        oldest_s = time.monotonic() - self._keepalive_s
        while connections:
            connection = connections.pop()
            if self._is_fresh(connection, oldest_s):
                return connection
            connection.close()
        return None

    @property
    def _generation(self) -> int:
        if self._identity is None:
            return 0
        self._identity.look()
        return self._identity.generation

    def _is_fresh(self, connection: _Connection, oldest_s: float) -> bool:
        is_of_now = connection.idle_since_s > oldest_s and connection.generation == self._generation
        return connection.reusable and is_of_now

    async def _connect(self, address: Address, timeout_s: float) -> _Connection:
        if self._closed:
            raise ConnectError("the pool is closed")
        generation = self._generation
        try:
            async with asyncio.timeout(min(timeout_s, self._connect_timeout_s)):
                connection = await self._made(address)
        except TimeoutError as error:
            if timeout_s < self._connect_timeout_s:
                raise
            raise ConnectError("no answer") from error
        except OSError as error:
            raise ConnectError(str(error)) from error
        connection.generation = generation
        return connection

    async def _made(self, address: Address) -> _Connection:
        """Raises OSError, and WrongPeer before a byte of the request is sent."""
        host, port, peer = address
        if peer is not None and self._identity is None:
            raise ConnectError("https needs an identity")
        context = self._identity.client_context if self._identity is not None and peer is not None else None
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._max_reply_bytes), host, port, ssl=context, server_hostname=peer
        )
        if connection.peer != peer:
            connection.close()
            raise WrongPeer(f"{connection.peer or 'an unknown peer'} answers in place of {peer}")
        return connection

    def _put_back(self, address: Address, connection: _Connection) -> None:
        if self._closed or connection.generation != self._generation:
            connection.close()
            return
        connection.idle_since_s = time.monotonic()
        self._idle.setdefault(address, []).append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._keepalive_s, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long; go on while anything is idle."""
        oldest_s = time.monotonic() - self._keepalive_s
        for address, connections in list(self._idle.items()):
            for connection in connections:
                if not self._is_fresh(connection, oldest_s):
                    connection.close()
            kept = [connection for connection in connections if connection.reusable]
            if kept:
                self._idle[address] = kept
            else:
                del self._idle[address]
        again = asyncio.get_running_loop().call_later(self._keepalive_s / 4, self._sweep) if self._idle else None
        self._sweeper = again
