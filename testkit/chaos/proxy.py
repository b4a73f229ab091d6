"""A TCP proxy that makes trouble, in Toxiproxy's words. It runs in a thread and an event loop of its own.

`latency` (each chunk waits), `timeout` (bytes vanish, the connection stays), `reset_peer` (TCP reset), `slicer` (small
chunks), `bandwidth` (KB/s), `limit_data` (closes after so many bytes); `down` refuses connections.

It also counts the inferences that arrive, and can answer a share of them itself with a false reply (`Lie`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

_CHUNK = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Toxics:
    """What is wrong with the line, towards the client (the replies)."""

    latency_s: float = 0.0
    timeout: bool = False
    reset_peer: bool = False
    slicer_bytes: int = 0
    bandwidth_kb_s: float = 0.0
    limit_data_bytes: int | None = None


@dataclass(frozen=True)
class Lie:
    """A whole HTTP reply that a share of the inferences gets instead of the stage's own."""

    reply: bytes
    share: float = 1.0


class Proxy:
    """Listens on a port of its own and forwards to one address."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._dice = random.Random(17)
        self.toxics = Toxics()
        self.lie: Lie | None = None
        self.inferences = 0
        self._port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        """Listen, on the same port as before."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)

    def down(self) -> None:
        """Refuse connections and cut those that are open."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._until_cut, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _until_cut(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; to be cancelled is its orderly end when the line is cut."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        up_writer: asyncio.StreamWriter | None = None
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(reader, up_writer, writer))
                both.create_task(self._reply(up_reader, writer))
        except* (OSError, EOFError, _Cut):
            pass
        finally:
            self._connections.discard(task)
            for each in (writer, up_writer):
                if each is not None:
                    each.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, up_writer: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        """Hand on one request after the other; both balancers send them with a Content-Length and no pipelining."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            if b"/infer " in head.partition(b"\r\n")[0]:
                self.inferences += 1
                lie = self.lie
                if lie is not None and self._dice.random() < lie.share:
                    writer.write(lie.reply)
                    await writer.drain()
                    continue
            up_writer.write(head + body)
            await up_writer.drain()

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while data := await reader.read(_CHUNK):
            toxics = self.toxics
            await asyncio.sleep(toxics.latency_s)
            if toxics.timeout:
                continue
            if toxics.reset_peer:
                _reset(writer)
                raise _Cut
            if toxics.limit_data_bytes is not None:
                data = data[: max(0, toxics.limit_data_bytes - sent)]
            step = toxics.slicer_bytes or len(data) or 1
            for start in range(0, len(data), step):
                writer.write(data[start : start + step])
                await writer.drain()
                if toxics.bandwidth_kb_s:
                    await asyncio.sleep(step / 1000 / toxics.bandwidth_kb_s)
            sent += len(data)
            if toxics.limit_data_bytes is not None and sent >= toxics.limit_data_bytes:
                raise _Cut
        raise _Cut


class _Cut(Exception):
    """The connection is over."""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a TCP reset instead of an orderly end."""
    with contextlib.suppress(OSError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
