"""A proxy that gives a service a prefix in its paths, as one does that has several services below one name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

PREFIX = "/ml"
_OF_THE_HOP = {"connection", "content-length", "date", "host", "keep-alive", "transfer-encoding", "content-encoding"}


@contextmanager
def behind_a_prefix(url: str) -> Iterator[tuple[str, list[str]]]:
    """Pass on what is below the prefix; give the address, and the paths asked for that are not below it."""
    strays: list[str] = []
    client = httpx.Client(base_url=url, trust_env=False, timeout=30)

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                strays.append(self.path)
                self.send_error(404)
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_HOP}
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            reply = client.request(self.command, self.path.removeprefix(PREFIX), content=body, headers=headers)
            self.send_response(reply.status_code)
            for name, value in reply.headers.items():
                if name not in _OF_THE_HOP:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        do_POST = do_GET  # noqa: N815 - as the library names it

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with client, ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PREFIX}", strays
        finally:
            server.shutdown()
            thread.join()
