"""uvicorn with TLS on its first socket alone, and a certificate that is read again while it serves.

Each connection is known from before its handshake: asyncio's own servers tell of it afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import cast

import uvicorn

from splitway.http.server.connections import HANDSHAKE, Connections
from splitway.http.server.timed import TimedHttp
from splitway.names import GATEWAY
from splitway.security.identities.kept_context import KeptContext
from splitway.security.identities.tls import peer_service

_log = logging.getLogger(__name__)
_SAY_AGAIN_S = 60.0
_AT_ONCE = 16
"""Connections that are accepted before the loop does something else."""
_NO_FILES_S = 0.1
"""After which accepting is tried again where no file descriptor was left."""


class Handshake(asyncio.Protocol):
    """A connection that has yet to show whose it is; counted for its address all the same.

    Args:
        caller: its socket.
        admit: told when its certificate is known, before anything of it is read.
    """

    stalled_since_s = None

    def __init__(self, caller: socket.socket, admit: Admit) -> None:
        self._admit = admit
        self.address: str | None = None
        self.socket = caller
        self.silent_since_s = monotonic()
        self.dropped = False

    def look(self, now_s: float) -> None:
        """Nothing: the loop gives each handshake its time."""

    def drop(self) -> None:
        self.dropped = True
        with suppress(OSError):  # it has ended by itself
            self.socket.shutdown(socket.SHUT_RDWR)

    def say_close(self) -> None:
        """Nothing: nothing is asked yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._admit(self, cast("asyncio.Transport", transport))  # uvloop's is one in all but name


Admit = Callable[[Handshake, asyncio.Transport], None]


class TlsListener:
    """What listens on one socket; asyncio's server, as far as uvicorn asks anything of it.

    Args:
        listener: a listening socket.
        context: to shake hands with.
        handshake_s: how long that may take.
        connections: looks after every connection from here on.
        admit: given every connection whose handshake is done.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        handshake_s: float,
        connections: Connections,
        admit: Admit,
    ) -> None:
        self._socket = listener
        self._context = context
        self._handshake_s = handshake_s
        self._connections = connections
        self._admit = admit
        self.shaking: dict[asyncio.Task[None], Handshake] = {}
        """Handshakes that have begun and are not done."""
        self._loop = asyncio.get_running_loop()
        self._listen()

    def close(self) -> None:
        """Accept no more, and give up the handshakes that are not done."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._socket)
        for handshake in self.shaking.values():
            handshake.drop()

    async def wait_closed(self) -> None:
        """Wait until those have ended."""
        await asyncio.gather(*self.shaking)

    def _listen(self) -> None:
        self._again: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                caller, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file descriptor is left: to ask again at once would be to ask all the time
                self._loop.remove_reader(self._socket)
                self._again = self._loop.call_later(_NO_FILES_S, self._listen)
                return
            self._begin(caller, address[0])

    def _begin(self, caller: socket.socket, host: str) -> None:
        handshake = Handshake(caller, self._admit)
        refusal = self._connections.admit(handshake, host, caller.fileno())
        if refusal is not None:
            self._connections.refused(refusal.error.code)
            self._connections.release(handshake)
            caller.close()
            return
        caller.setblocking(False)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._shake(handshake))
        self.shaking[task] = handshake
        task.add_done_callback(self.shaking.pop)

    async def _shake(self, handshake: Handshake) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: handshake,
                handshake.socket,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s,
            )
        except OSError:
            if not handshake.dropped:
                self._connections.refused(HANDSHAKE)
        finally:
            self._connections.release(handshake)


class TlsServer(uvicorn.Server):
    """Serves plain HTTP; or, with an identity, TLS on the first socket, and plain HTTP on others.

    Args:
        config: uvicorn's.
        identity: what callers are shown, and which of them are served; None for no TLS.
        connections: looks after all of the process, from before their handshakes.
        handshake_s: how long a caller may take to show who it is.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        identity: KeptContext | None,
        connections: Connections,
        handshake_s: float,
    ) -> None:
        super().__init__(config)
        self._identity = identity
        self._connections = connections
        self._handshake_s = handshake_s
        self._said_s = -_SAY_AGAIN_S
        self._listener: TlsListener | None = None

    @property
    def shakes_hands(self) -> bool:
        """Whether a handshake has begun and is not done."""
        return self._listener is not None and bool(self._listener.shaking)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen."""
        if self._identity is None or not sockets:
            await super().startup(sockets)
            return
        await super().startup(sockets[1:])
        context = self._identity.server_context()
        sockets[0].setblocking(False)
        sockets[0].listen(self.config.backlog)
        self._listener = TlsListener(sockets[0], context, self._handshake_s, self._connections, self._admit)
        self.servers.append(cast("asyncio.Server", self._listener))

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second."""
        if self._identity is not None:
            self._identity.look()
        return await super().on_tick(counter)

    def _admit(self, handshake: Handshake, transport: asyncio.Transport) -> None:
        """Hand a connection whose handshake is done to uvicorn if its other end may call, and end it if not."""
        assert self._identity is not None
        peer = peer_service(transport.get_extra_info("ssl_object"))
        if not self._identity.admits(peer):
            transport.abort()
            self._say_refused(peer)
            return
        protocol = cast(
            "TimedHttp",
            self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            ),
        )
        self._connections.replace(handshake, protocol)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def _say_refused(self, peer: str | None) -> None:
        if monotonic() - self._said_s >= _SAY_AGAIN_S:
            self._said_s = monotonic()
            _log.warning("a connection of %s is refused: it is not the %s", peer or "an unknown peer", GATEWAY)
