"""Accepts TLS connections, and knows of each from before its handshake: asyncio's own servers tell of it afterwards."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import cast

from splitway.http.server.connections import HANDSHAKE, Connections

_AT_ONCE = 16
"""Connections that are accepted before the loop does something else."""
_NO_FILES_S = 0.1
"""After which accepting is tried again where no file descriptor was left."""


class Handshake:
    """A connection that has yet to show whose it is; counted for its address all the same.

    Args:
        caller: its socket.
    """

    stalled_since_s = None

    def __init__(self, caller: socket.socket) -> None:
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


Admit = Callable[[Handshake, asyncio.Transport], None]


class _Gate(asyncio.Protocol):
    """What a connection meets first, when its certificate is known and before anything of it is read."""

    def __init__(self, admit: Admit, handshake: Handshake) -> None:
        self._admit = admit
        self._handshake = handshake

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._admit(self._handshake, cast("asyncio.Transport", transport))  # uvloop's is one in all but name


class TlsListener:
    """What listens on one socket; asyncio's server, as far as uvicorn asks anything of it.

    Args:
        listener: a bound socket.
        context: to shake hands with.
        handshake_s: how long that may take.
        connections: looks after every connection from here on.
    """

    def __init__(
        self, listener: socket.socket, context: ssl.SSLContext, handshake_s: float, connections: Connections
    ) -> None:
        self._socket = listener
        self._context = context
        self._handshake_s = handshake_s
        self._connections = connections
        self._shaking: dict[asyncio.Task[None], Handshake] = {}
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None

    @property
    def shakes_hands(self) -> bool:
        """Whether a handshake has begun and is not done."""
        return bool(self._shaking)

    def start(self, admit: Admit, backlog: int) -> None:
        """Listen.

        Args:
            admit: given every connection whose handshake is done.
            backlog: how many may wait to be accepted.
        """
        self._admit = admit
        self._socket.setblocking(False)
        self._socket.listen(backlog)
        self._listen()

    def close(self) -> None:
        """Accept no more, and give up the handshakes that are not done."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._socket)
        for handshake in self._shaking.values():
            handshake.drop()

    async def wait_closed(self) -> None:
        """Wait until those have ended."""
        await asyncio.gather(*self._shaking)

    def _listen(self) -> None:
        self._again = None
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
        handshake = Handshake(caller)
        refusal = self._connections.admit(handshake, host, caller.fileno())
        if refusal is not None:
            self._connections.refused(refusal.error.code)
            self._connections.release(handshake)
            caller.close()
            return
        caller.setblocking(False)
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._shake(handshake))
        self._shaking[task] = handshake
        task.add_done_callback(self._shaking.pop)

    async def _shake(self, handshake: Handshake) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: _Gate(self._admit, handshake),
                handshake.socket,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s,
            )
        except OSError:
            if not handshake.dropped:
                self._connections.refused(HANDSHAKE)
        finally:
            self._connections.release(handshake)
