"""A small app behind the guarded protocol, in a thread; what it saw is told in its answers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from splitway.errors import SplitwayError
from splitway.http.server.connections import ConnectionLimits, ConnectionRoom, Connections
from splitway.http.server.guarded import guarded_protocol
from testkit.support import until

ANY_NUMBER = ConnectionRoom()
LARGE = 16 * 1024 * 1024
"""More than kernels hold of an answer that is not read."""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


@dataclass
class GuardedServer:
    """What a test talks to."""

    port: int = 0
    connections: Connections | None = None
    """None behind uvicorn's own protocol."""
    log: list[str] = field(default_factory=list)
    hung_up: list[str] = field(default_factory=list)
    """Paths of the requests whose callers the app was told to be gone."""
    begun: list[str] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    loop: asyncio.AbstractEventLoop | None = None

    def connect(self, receive_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(10)
        client.connect(("127.0.0.1", self.port))
        return client

    def ask(self, data: bytes) -> bytes:
        """Everything that is answered until the server closes the connection, or has been silent for a while."""
        with self.connect() as client:
            client.settimeout(0.5)
            with suppress(OSError):
                client.sendall(data)
            return read_all(client)

    def let_go(self) -> None:
        """Have the requests for /wait answered."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self.free.set)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.loop = asyncio.get_running_loop()
        path = scope["path"]
        self.begun.append(path)
        if path == "/early":
            await _answer(send, 413, b"too large")
        elif path == "/large":
            await _answer(send, 200, b"a" * LARGE)
        else:
            await self._echo(scope, receive, send)

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.hung_up.append(scope["path"])
                return
            body += message["body"]
            if not message["more_body"] and scope["path"] != "/watch":
                break
        if scope["path"] == "/wait":
            await self.free.wait()
        await _answer(send, 200, json.dumps(_told(scope, body)).encode())


def _told(scope: Any, body: bytes) -> dict[str, Any]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = scope["query_string"].decode()
    return {"path": scope["path"], "query": query, "headers": headers, "body": body.decode("latin-1")}


async def _answer(send: Any, status: int, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


def read_all(client: socket.socket) -> bytes:
    """What comes until the other side closes, or falls silent for as long as the socket waits."""
    received = b""
    with suppress(OSError):
        while data := client.recv(65536):
            received += data
    return received


def statuses(replies: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(replies)]


def is_closed(client: socket.socket) -> bool:
    """Whether the other side has closed, at once or after a second."""
    client.settimeout(1)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def _refuse(error: SplitwayError, status: int, path: str) -> tuple[str, bytes]:
    return "application/problem+json", json.dumps({"status": status, "detail": error.detail, "path": path}).encode()


class _Log(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextmanager
def serving(
    limits: ConnectionLimits,
    *,
    room: ConnectionRoom = ANY_NUMBER,
    keepalive_s: float = 30,
    tls: ssl.SSLContext | None = None,
    guarded: bool = True,
) -> Iterator[GuardedServer]:
    """Serve the app on a free port."""
    served = GuardedServer()
    protocol: type[HttpToolsProtocol] = HttpToolsProtocol
    if guarded:
        served.connections = Connections(room)
        protocol = guarded_protocol(limits, _refuse, served.connections)
    config = uvicorn.Config(
        served.app,
        http=protocol,
        interface="asgi3",
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=keepalive_s,  # type: ignore[arg-type]  # it takes fractions
        timeout_graceful_shutdown=2,
    )
    config.load()
    config.ssl = tls
    server = uvicorn.Server(config)
    handler = _Log(served.log)
    loggers = [logging.getLogger("uvicorn.error"), logging.getLogger("splitway")]
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        served.port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        for logger in loggers:
            logger.addHandler(handler)
        thread.start()
        try:
            until(lambda: server.started, 10)
            yield served
        finally:
            server.should_exit = True
            thread.join(10)
            for logger in loggers:
                logger.removeHandler(handler)
            assert not thread.is_alive()
