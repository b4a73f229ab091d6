"""HTTP/1.1 for strangers: uvicorn's protocol, with an end to everything that a caller can draw out or get wrong.

A request's headers, its body and the reading of its answer have their time; heads have their size; one address has its
number of connections. What is malformed is refused with a 4xx in the service's own form, behind the answers that are
still due. Trailers, and headers that are for the last hop alone, never reach the app; an upgrade is not answered.
"""

from __future__ import annotations

import asyncio
import logging
import math
from time import monotonic
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from splitway.errors import RateLimited, TooLarge
from splitway.http.server.connections import ConnectionLimits, Connections
from splitway.http.server.request_head import (
    Refusal,
    check_headers,
    check_size,
    check_target,
    headers_too_large,
    malformed,
    read_target,
    without_upgrade,
)
from splitway.http.server.timed import BODY, END, FIRST, HEAD, LINGER_BYTES, NOTHING, REST, Guard, Refuse, TimedHttp

__all__ = ["Refuse", "guarded_protocol"]
_log = logging.getLogger(__name__)


class _GuardedHttp(TimedHttp):
    """One connection, and how it is read."""

    def __init__(self, *of_uvicorn: Any, **more: Any) -> None:
        super().__init__(*of_uvicorn, **more)
        self._new_parser()
        limits = self.guard.limits
        self._max_headers, self._max_header_bytes = limits.max_headers, limits.max_header_bytes
        self._max_url_bytes = limits.max_url_bytes
        self._upgrade = False
        self._chunk_bytes = 0
        """Received at once."""
        self._first_bytes = 0
        """Of the chunk in which a request began, which may have begun with the end of another."""
        self._idle_bytes = 0
        """Received behind that one without any of a body in it: of a head, of chunks' sizes, of trailers."""

    def _new_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)  # as strict as it comes; uvicorn's is lenient in one thing

    def data_received(self, data: bytes) -> None:
        if self._reads is END:
            self._discard(len(data))
            return
        size = self._chunk_bytes = len(data)
        self._idle_bytes += size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(error)
        else:
            if self._idle_bytes > self._max_header_bytes:
                self._refuse(headers_too_large(self._max_header_bytes))

    def _fail(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, Refusal):
            self._refuse(cause)
            return
        if cause is not None and not isinstance(cause, httptools.HttpParserUpgrade):
            _log.error("a request could not be read", exc_info=cause)
        self._refuse(malformed(f"not valid HTTP/1.1: {error}"))

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the request again as one that asks for no other protocol; llhttp has skipped its body."""
        self._upgrade = False
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._new_parser()
        self.data_received(without_upgrade(method, self.url, version, self.headers) + rest)

    # What httptools calls while it reads. An exception is the only way to stop it.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._reads is not FIRST:
            self._due_s = monotonic() + self._header_timeout_s
        self._reads = HEAD
        self._idle_bytes, self._first_bytes = 0, self._chunk_bytes

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self._max_url_bytes:
            raise Refusal(414, TooLarge(f"the target is over the limit of {self._max_url_bytes} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.headers
        headers.append((name.lower(), value))
        if len(headers) > self._max_headers:
            raise Refusal(431, TooLarge(f"there are more than {self._max_headers} headers"))

    def on_headers_complete(self) -> None:
        parser, scope, headers = self.parser, self.scope, self.headers
        method = parser.get_method()
        if parser.should_upgrade():
            if method == b"CONNECT":
                raise malformed("this server is not a proxy")
            self._upgrade = True
            return
        if self._first_bytes + self._idle_bytes > self._max_header_bytes:
            check_size(self.url, headers, self._max_header_bytes)
        version = parser.get_http_version()
        host, expects = check_headers(headers, version)
        target = read_target(self.url)
        if target.authority is not None or target.path == "*":
            check_target(target, method, host, self.scheme or "http")
        scope["method"] = method.decode("ascii")
        scope["http_version"] = version
        scope["path"] = self.root_path + target.path
        scope["raw_path"] = self.root_path.encode("ascii") + target.raw_path
        scope["query_string"] = target.query
        self._idle_bytes = 0
        self.headers = []  # a trailer must not become a header of what the app is reading
        keep_alive = version != "1.0" and parser.should_keep_alive() and not self._connections.draining
        self._begin(keep_alive=keep_alive, expects=expects)

    def _begin(self, *, keep_alive: bool, expects: bool) -> None:
        """Have a request answered, or have it wait for its turn. (uvicorn's limit_concurrency is not looked at.)"""
        before = self.cycle
        waits = before is not None and not before.response_complete
        if waits and len(self.pipeline) >= self.guard.limits.max_pipelined:
            raise Refusal(429, RateLimited("too many requests wait on this connection", retry_after_s=1))
        self._reads = BODY
        self._due_s = monotonic() + self._body_timeout_s
        cycle = self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self._answers,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        if waits:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        else:
            self._start_asgi_task(cycle, self.app)

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        if self._reads is not BODY:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > LINGER_BYTES:
                raise malformed("the request was answered long ago")
            return
        cycle = self.cycle
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._upgrade:
            return
        self._idle_bytes = 0
        if self._reads is REST:
            self._wait_for_next()
            return
        self._reads = NOTHING
        self._due_s = math.inf
        self.cycle.more_body = False
        self.cycle.message_event.set()


def guarded_protocol(limits: ConnectionLimits, refuse: Refuse, connections: Connections) -> type[HttpToolsProtocol]:
    """Make the class for `uvicorn.Config(http=...)`."""

    class GuardedHttp(_GuardedHttp):
        guard = Guard(limits, refuse, connections)

    return GuardedHttp
