"""uvicorn with TLS on its first socket alone, a certificate that is read again while it serves, and one caller."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import cast

import uvicorn

from splitway.http.server.connections import Connections
from splitway.http.server.timed import TimedHttp
from splitway.http.server.tls_listener import Handshake, TlsListener
from splitway.names import GATEWAY
from splitway.security.identities.tls import Identity, peer_service

_log = logging.getLogger(__name__)
_HANDSHAKE_S = 10.0
_SAY_AGAIN_S = 60.0


class TlsServer(uvicorn.Server):
    """Serves plain HTTP; or, with an identity, TLS on the first socket to the gateway alone, and plain HTTP on others.

    Args:
        config: uvicorn's.
        identity: the service's own; None for no TLS.
        connections: looks after all of the process, from before their handshakes.
        handshake_s: how long a caller may take to show who it is.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        identity: Identity | None,
        connections: Connections,
        handshake_s: float = _HANDSHAKE_S,
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
        return self._listener is not None and self._listener.shakes_hands

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app, then listen."""
        if self._identity is None or not sockets:
            await super().startup(sockets)
            return
        await super().startup(sockets[1:])
        context = self._identity.server_context()
        self._listener = TlsListener(sockets[0], context, self._handshake_s, self._connections)
        self._listener.start(self.admit, self.config.backlog)
        self.servers.append(cast("asyncio.Server", self._listener))

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second."""
        if self._identity is not None:
            self._identity.look()
        return await super().on_tick(counter)

    def admit(self, handshake: Handshake, transport: asyncio.Transport) -> None:
        """Hand a connection whose handshake is done to uvicorn if it is the gateway's, and end it if not."""
        peer = peer_service(transport.get_extra_info("ssl_object"))
        if peer != GATEWAY:
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
        if time.monotonic() - self._said_s >= _SAY_AGAIN_S:
            self._said_s = time.monotonic()
            _log.warning("a connection of %s is refused: it is not the %s", peer or "an unknown peer", GATEWAY)
