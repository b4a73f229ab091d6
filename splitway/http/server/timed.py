"""An HTTP connection whose every step has its time, and that ends so that the caller gets to read why.

uvicorn's protocol with one clock for all connections in place of its timer for each request. What is read, and what of
it is refused, is `guarded`'s.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import socket
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import Any, ClassVar, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from splitway.errors import SlowBody, SplitwayError
from splitway.http.server.connections import UNREAD, ConnectionLimits, Connections
from splitway.http.server.request_head import Refusal, path_of

_LINGER_S = 2.0
"""How long a caller may keep sending after the answer, so that it is read."""
_STALLED_S = 1.0
"""How long a request's headers may be on their way, where connections are short."""
_LAST_REQUEST_S = 0.5
"""How long a connection that was in use waits for one more request before a process that ends closes it."""
LINGER_BYTES = 8 * 1024 * 1024
"""How much of it is taken, to be thrown away."""
Refuse = Callable[[SplitwayError, int, str], tuple[str, bytes]]
"""Makes the media type and the body of an answer with this status, for a refusal made before there is a request; its
path is empty where that is not known."""


class Reads(Enum):
    """What a connection reads next."""

    FIRST = "the first request"
    HEAD = "the headers"
    BODY = "the body"
    NOTHING = "nothing: the whole request is here and is being answered"
    REST = "the rest of a body whose request has been answered already"
    NEXT = "another request"
    END = "nothing any more: what still comes is thrown away"


FIRST, HEAD, BODY, NOTHING, REST, NEXT, END = Reads  # looked up for every request; as attributes they cost more


@dataclass(frozen=True)
class Guard:
    """What all connections of one process share."""

    limits: ConnectionLimits
    refuse: Refuse
    connections: Connections


class _Answers:
    """What an answer may do with the transport: to end it is the connection's business."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


def _forget_unsent(transport: asyncio.Transport) -> None:
    """Have the kernel reset a connection that is closed; else it keeps megabytes for a caller that reads nothing."""
    with suppress(OSError), socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class TimedHttp(HttpToolsProtocol):
    """One connection."""

    guard: ClassVar[Guard]

    def __init__(self, *of_uvicorn: Any, **more: Any) -> None:
        super().__init__(*of_uvicorn, **more)
        limits = self.guard.limits
        self._connections = self.guard.connections
        self._header_timeout_s, self._body_timeout_s = limits.header_timeout_s, limits.body_timeout_s
        self.address: str | None = None
        self.url = b""
        self._reads = FIRST
        self._due_s = math.inf
        """When that must be here."""
        self._unread_since_s = math.inf
        self._running: RequestResponseCycle | None = None
        """The request that is being answered; uvicorn's `cycle` is the one read last."""
        self._refusal: Refusal | None = None
        """Said when all that was asked before is answered."""
        self._discarded_bytes = 0
        self._linger_s = _LINGER_S

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._answers = cast("asyncio.Transport", _Answers(transport, self._close_behind_answer))
        self._due_s = monotonic() + self._header_timeout_s
        connections = self._connections
        if self in connections:  # counted since before its handshake
            return
        raw = transport.get_extra_info("socket")
        refusal = connections.admit(self, self.client[0] if self.client else None, raw.fileno() if raw else -1)
        if refusal is None:
            return
        if connections.may_be_told(self):
            self._refuse(refusal)
        else:
            connections.refused(refusal.error.code)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connections.release(self)
        if self._running is not None and not self._running.response_complete:
            self._disconnect(self._running)
        self._let_go()

    def _let_go(self) -> None:
        """Hold nothing that holds this connection: it is freed at once then, and does not wait for the collector."""
        self._answers = self.transport
        self._running, self._refusal = None, None
        self.cycle = None  # type: ignore[assignment]  # as before the first request
        self.pipeline.clear()

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes > LINGER_BYTES:
            self.flow.pause_reading()

    # How an answer begins and ends.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._unread_since_s = math.inf
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            self._read_on()
        elif self._refusal is not None:
            self._say(self._refusal)
        elif self._reads is NOTHING:
            self._wait_for_next()
        elif self._reads is BODY:
            self._reads = REST
            self._due_s, self._discarded_bytes = monotonic() + self._linger_s, 0

    def _read_on(self) -> None:
        """Nothing was read while requests waited, which was none of the caller's time."""
        if self._reads is BODY:
            self._due_s = monotonic() + self._body_timeout_s
        elif self._reads is HEAD:
            self._due_s = monotonic() + self._header_timeout_s

    def _wait_for_next(self) -> None:
        self._reads = NEXT
        self._due_s = monotonic() + self.timeout_keep_alive

    def _close_behind_answer(self) -> None:
        if self._reads is BODY or self.pipeline:
            self._end()
        else:
            self.transport.close()

    # What ends it, because the process ends or has too many.

    @property
    def silent_since_s(self) -> float | None:
        """Since when no request has begun and no answer is due, as far as its caller has taken what was answered."""
        waits_s = {FIRST: self._header_timeout_s, NEXT: self.timeout_keep_alive, END: self._linger_s}.get(self._reads)
        return None if waits_s is None or self._refusal is not None or self._unsent() else self._due_s - waits_s

    @property
    def stalled_since_s(self) -> float | None:
        """Since when a request's headers should be here, which come at once from all but slow callers."""
        since_s = self._due_s - self._header_timeout_s + _STALLED_S
        return since_s if self._reads is HEAD and since_s <= monotonic() else None

    def drop(self) -> None:
        self.transport.abort()

    def say_close(self) -> None:
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Answer what is under way, and one more request if that comes at once; then close.

        A caller may be sending that one, and would have to guess what became of it.
        """
        self.say_close()
        if self._reads is NEXT:
            self._due_s += _LAST_REQUEST_S - self.timeout_keep_alive
        elif self._reads in {FIRST, HEAD, REST}:
            self._due_s = min(self._due_s, monotonic() + _LAST_REQUEST_S)
        self._linger_s = _LAST_REQUEST_S

    # What the clock calls.

    def look(self, now_s: float) -> None:
        """Close the connection if the caller's time for this phase is over."""
        if now_s >= self._due_s and not self.pipeline:
            self._expire()
        if not self._unsent():
            self._unread_since_s = math.inf
        elif self._unread_since_s == math.inf:
            self._unread_since_s = now_s
        elif now_s - self._unread_since_s >= self.guard.limits.answer_timeout_s:
            self._connections.refused(UNREAD)
            _forget_unsent(self.transport)
            self.transport.abort()

    def _unsent(self) -> int:
        """How many bytes the caller has not taken; over TLS, of which uvloop does not tell, of those in the kernel."""
        if self.scheme == "http":
            return self.transport.get_write_buffer_size()
        raw = self.transport.get_extra_info("socket")
        if raw is None:  # it has ended, which this connection is about to be told
            return 0
        try:
            queued = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            return 0
        return int.from_bytes(queued, sys.byteorder)

    def _expire(self) -> None:
        self._due_s = math.inf
        if self._reads in {HEAD, BODY}:
            self._refuse(Refusal(408, SlowBody(f"{self._reads.value} did not arrive in time")))
        else:
            self.transport.close()

    # How a caller is refused.

    def _refuse(self, refusal: Refusal) -> None:
        """Read nothing any more, and say why when it is this request's turn."""
        self._connections.refused(refusal.error.code)
        read, self._reads = self._reads, END
        self._due_s = math.inf
        if read is REST or (read is BODY and self._gives_up_answer()):
            self._end()
        elif self._running is None or self._running.response_complete or self._running.disconnected:
            self._say(refusal)
        else:
            self._refusal = refusal

    def _gives_up_answer(self) -> bool:
        """Give up the request whose body is broken; True if its answer has begun, so that nothing else can be said."""
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
            return False
        self._disconnect(self.cycle)
        return self.cycle.response_started

    @staticmethod
    def _disconnect(cycle: RequestResponseCycle) -> None:
        cycle.disconnected = True
        cycle.message_event.set()

    def _say(self, refusal: Refusal) -> None:
        media_type, body = self.guard.refuse(refusal.error, refusal.status, path_of(self.url))
        headers = {"content-type": media_type, "content-length": str(len(body)), "connection": "close"}
        if refusal.error.retry_after_s is not None:
            headers["retry-after"] = str(math.ceil(refusal.error.retry_after_s))
        lines = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items()]
        self.transport.write(b"".join([STATUS_LINE[refusal.status], *lines, b"\r\n", body]))
        self._end()

    def _end(self) -> None:
        """Send no more. Closing at once could reset the connection before the client has read the response."""
        self._reads, self._refusal = END, None
        self.pipeline.clear()
        self._due_s, self._discarded_bytes = monotonic() + self._linger_s, 0
        self.flow.resume_reading()
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
