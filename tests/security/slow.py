"""Callers who take their time: each kind holds a connection as long as the service lets it."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

KINDS = ("silent", "headers", "body", "unread")
_EVERY_S = 1.0
"""A byte a second is what slow attacks send; more would be caught by less."""
_FOR_EVER_S = 3600
_LARGE = b"GET /page/page.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
_CLASSIFY = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
_BEGINS = {
    "silent": b"",
    "headers": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ",
    "body": _CLASSIFY + b"Content-Length: 100000\r\n\r\n",
    "unread": _LARGE,
}
_GOES_ON = {"silent": b"", "headers": b"a", "body": b"a", "unread": _LARGE}


@dataclass
class SlowCaller:
    """One connection; once it is closed, it is over."""

    kind: str
    to: tuple[str, int]
    every_s: float = _EVERY_S
    reply: bytes = b""
    held_s: float | None = None
    """How long it was open; None while it is."""

    async def run(self) -> None:
        """Hold a connection until the service closes it."""
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, self.to)
            began_s = time.monotonic()
            await self._send_until_closed(connection)
            self.held_s = time.monotonic() - began_s

    async def _send_until_closed(self, connection: socket.socket) -> None:
        never = self.kind == "unread"
        read = asyncio.create_task(asyncio.sleep(_FOR_EVER_S) if never else self._read(connection))
        poll = select.poll()
        poll.register(connection, select.POLLERR)  # what a caller sees who looks without reading
        data = _BEGINS[self.kind]
        try:
            while not (poll.poll(0) or read.done()):
                with suppress(OSError):  # who is not read from, or is cut off, sends no more
                    connection.send(data)
                data = _GOES_ON[self.kind]
                await asyncio.wait({read}, timeout=self.every_s)
        finally:
            read.cancel()

    async def _read(self, connection: socket.socket) -> None:
        with suppress(ConnectionError):
            while data := await asyncio.get_running_loop().sock_recv(connection, 4096):
                self.reply += data


@dataclass
class SlowCrowd:
    """So many slow callers of all kinds at a time; who is cut off comes again."""

    to: tuple[str, int]
    size: int
    cut_off: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Stay until cancelled."""
        async with asyncio.TaskGroup() as crowd:
            for number in range(self.size):
                crowd.create_task(self._one(KINDS[number % len(KINDS)]))

    async def _one(self, kind: str) -> None:
        while True:
            with suppress(OSError):
                await SlowCaller(kind, self.to).run()
            self.cut_off[kind] += 1
