"""Whoever stands between the services, or pretends to be one: callers, false stages, and somebody who listens."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from splitway.security.identities.service_names import IDENTITY
from testkit.support import free_port, until

_CAPTURE_S = 60


def ask(url: str, folder: Path | None, request: bytes) -> bytes:
    """What a caller is answered who takes any server and shows this folder's certificate, or none; b"" if nothing."""
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if folder is not None:
        context.load_cert_chain(folder / IDENTITY)
    try:
        with socket.create_connection((parts.hostname, parts.port), 5) as plain:
            connection = plain if parts.scheme == "http" else context.wrap_socket(plain)
            with connection:
                connection.sendall(request)
                return connection.recv(65536)
    except OSError:
        return b""


def post(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A whole request, byte by byte as it is sent."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class FalseStage:
    """A server with somebody's certificate that keeps what it hears once TLS has let it through."""

    def __init__(self, folder: Path) -> None:
        self.heard = b""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / IDENTITY)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FalseStage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                plain, _ = self._listener.accept()
                self.connections += 1
                plain.settimeout(1)
                with contextlib.suppress(OSError), plain, self._context.wrap_socket(plain, server_side=True) as secured:
                    self.heard += secured.recv(65536)


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextlib.contextmanager
def http_server(answer: Answer) -> Iterator[str]:
    """A server that answers every request as told; its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            with contextlib.suppress(OSError):
                answer(self)

        do_GET = do_POST = do_CONNECT = _answer  # noqa: N815 - the standard library's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@contextlib.contextmanager
def gateway_process(environment: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A gateway as it is served, before stages of the test's own; its address once it answers."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "serve", "gateway", "--port", str(port)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/livez"), 30)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def why_not_captured() -> str | None:
    """Why nothing can be overheard here; None if it can."""
    if shutil.which("tshark") is None:
        return "tshark is not installed: apt-get install tshark"
    tried = subprocess.run(
        ["tshark", "-i", "lo", "-a", "duration:1", "-w", "/dev/null"], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else f"tshark may not listen here: {tried.stderr.strip().splitlines()[-1]}"


@contextlib.contextmanager
def overheard(ports: Sequence[int], file: Path) -> Iterator[None]:
    """Write every packet from and to these ports of loopback into a file."""
    listened = " or ".join(f"port {port}" for port in ports)
    command = ["tshark", "-i", "lo", "-f", listened, "-a", f"duration:{_CAPTURE_S}", "-w", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        with process.stderr as said:
            for line in said:
                if line.startswith("Capturing on"):
                    break
            until(file.exists, 10)
            yield
            process.send_signal(signal.SIGINT)
            process.wait(10)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
