"""A gateway that answers what a test says, to see what the commands make of it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = {"feature_extractor": "1", "classifier": "1", "feature_space": "fs:0123456789abcdef"}
HOP = {"queue": 0.1, "decode": 0.0, "compute": 1.0, "network": 0.5}
TIMINGS = {"feature_extractor": {**HOP, "total": 2.0}, "classifier": {**HOP, "total": 1.7}, "total": 4.0}
CLASSES = {"predictions": [{"label": "cat", "confidence": 0.9}], "model": MODEL, "timings_ms": TIMINGS}


@dataclass(frozen=True)
class Answer:
    """A status, a JSON body and headers."""

    status: int = 200
    content: Any = field(default_factory=lambda: CLASSES)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: Mapping[str, str]


def key_asked_for(key: str, otherwise: Answer) -> Callable[[Asked], Answer]:
    """Answers of a gateway that takes this key alone."""
    refusal = Answer(401, {"code": "unauthorized", "detail": "unknown key"})
    return lambda asked: otherwise if asked.headers.get("authorization") == f"Bearer {key}" else refusal


@contextmanager
def fake_gateway(
    answer: Callable[[int], Answer] | None = None,
    port: int = 0,
    *,
    of: Callable[[Asked], Answer] = lambda _: Answer(),
    seen: list[Asked] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """The address of a server.

    Args:
        answer: what its n-th request, from 0, gets.
        port: its own, or a free one.
        of: what a request gets, where that does not depend on its number.
        seen: gets every request.
        tls: what it speaks; plain HTTP if none is given.
    """
    turn = iter(range(1_000_000))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together, or the second waits 40 ms for the first's acknowledgement

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def do_GET(self) -> None:
            asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
            if seen is not None:
                seen.append(asked)
            given = of(asked) if answer is None else answer(next(turn))
            body = json.dumps(given.content).encode()
            self.send_response_only(given.status)
            for name, value in {**given.headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
