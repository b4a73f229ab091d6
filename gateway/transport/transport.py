"""One call to one replica, and what it can end with. The only place that knows the HTTP client; its errors end here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from splitway.errors import (
    BadStageAnswer,
    DeadlineExceeded,
    Overloaded,
    SplitwayError,
    Unavailable,
    Unreachable,
    in_one_line,
)
from splitway.gateway.transport.http1 import (
    Address,
    BrokenConnection,
    BrokenReply,
    ConnectError,
    CutReply,
    Reply,
    StageConnection,
    request_head,
)
from splitway.gateway.transport.shortage import is_own_shortage
from splitway.names import TOKEN_HEADER
from splitway.security.identities.tls import Identity
from splitway.wire.gathered import Body

_KEEPALIVE_S = 15.0  # shorter than the stages' own, or an idle connection dies under a request
_CONNECT_TIMEOUT_S = 1.0


class CutOff(BadStageAnswer):
    """The connection was lost while the reply came."""


class Transport:
    """Connections to the stages, kept alive.

    Of those to one address the one used last is used next; the others expire.

    Args:
        max_reply_bytes: of one reply's body.
        token: shows the stages that it is the gateway who asks; sent with every call.
        identity: shows it too, and is asked for in return: the gateway's own, for stages whose addresses are https.
            When it is another, connections made before are used no more.
        keepalive_s: how long an idle connection is kept.
    """

    def __init__(
        self,
        max_reply_bytes: int,
        *,
        token: str | None = None,
        identity: Identity | None = None,
        keepalive_s: float = _KEEPALIVE_S,
    ) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._headers = {TOKEN_HEADER: token} if token else {}
        self._identity = identity
        self._keepalive_s = keepalive_s
        self._idle: dict[Address, list[StageConnection]] = {}
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
        self,
        stage: str,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str],
        body: Body = b"",
        service: str = "",
    ) -> Reply:
        """Send one request and read its whole reply.

        Args:
            stage: what is called, as errors name it.
            method, url, headers, body: the request.
            timeout_s: how long all of it may take.
            service: the expected service over https, if it is not `stage`.

        Raises:
            Overloaded: this process has no means for a connection of its own.
            Unreachable: no connection was made.
            Unavailable: the connection broke before the reply.
            DeadlineExceeded: no complete reply within `timeout_s`.
            BadStageAnswer: the reply is no HTTP, or is larger than allowed; CutOff: it breaks off.
        """
        if timeout_s <= 0:
            raise DeadlineExceeded(f"the deadline passed before {stage} was called", stage=stage)
        try:
            sent = {**headers, **self._headers}
            address, request = request_head(method, url, sent, len(body), service or stage)
            return await self._exchange(address, request, body, timeout_s)
        except (ConnectError, BrokenConnection, BrokenReply, TimeoutError) as error:
            raise _translated(error, stage, url) from error

    async def _exchange(self, address: Address, request: bytes, body: Body, timeout_s: float) -> Reply:
        """Send one request and wait for its whole reply."""
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

    def _take(self, address: Address) -> StageConnection | None:
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

    def _is_fresh(self, connection: StageConnection, oldest_s: float) -> bool:
        is_of_now = connection.idle_since_s > oldest_s and connection.generation == self._generation
        return connection.reusable and is_of_now

    async def _connect(self, address: Address, timeout_s: float) -> StageConnection:
        if self._closed:
            raise ConnectError("the pool is closed")
        generation = self._generation
        try:
            async with asyncio.timeout(min(timeout_s, _CONNECT_TIMEOUT_S)):
                connection = await self._made(address)
        except TimeoutError as error:
            if timeout_s < _CONNECT_TIMEOUT_S:
                raise
            raise ConnectError("no answer") from error
        except OSError as error:
            raise ConnectError(str(error)) from error
        connection.generation = generation
        return connection

    async def _made(self, address: Address) -> StageConnection:
        """Raises OSError, and ConnectError for another peer, before a byte of the request is sent."""
        host, port, peer = address
        if peer is not None and self._identity is None:
            raise ConnectError("https needs an identity")
        context = self._identity.client_context if self._identity is not None and peer is not None else None
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: StageConnection(self._max_reply_bytes), host, port, ssl=context, server_hostname=peer
        )
        if connection.peer != peer:
            connection.close()
            raise ConnectError(f"{connection.peer or 'an unknown peer'} answers in place of {peer}")
        return connection

    def _put_back(self, address: Address, connection: StageConnection) -> None:
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


def _translated(error: Exception, stage: str, url: str) -> SplitwayError:
    """The client's errors as ours, here and nowhere else."""
    where = url.split("/")[2]
    if is_own_shortage(error):
        what = f"this gateway has no resources left to call {stage}; send the request again in a moment"
        return Overloaded(what, stage=stage, retry_after_s=1, private=f"{where}: {in_one_line(error)}")
    if isinstance(error, ConnectError):
        why = "" if isinstance(error.__cause__, ConnectionRefusedError) else f": {in_one_line(error)}"
        return Unreachable(f"{stage} cannot be reached", stage=stage, retry_after_s=1, private=f"{where}{why}")
    if isinstance(error, BrokenConnection):
        return Unavailable(f"{stage} closed the connection", stage=stage, retry_after_s=1, private=where)
    if isinstance(error, BrokenReply):
        kind = CutOff if isinstance(error, CutReply) else BadStageAnswer
        return kind(f"{stage} sent a broken reply", stage=stage, private=f"{where}: the reply {error}")
    return DeadlineExceeded(f"{stage} did not answer in time", stage=stage, private=where)
