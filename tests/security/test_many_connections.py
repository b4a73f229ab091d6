"""More connections than a process may have files: what is silent makes room, and whoever comes is answered."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from splitway.security.identities.certificates import Certificates
from splitway.security.identities.service_names import IDENTITY, TRUST
from testkit.support import until
from tests.splitway.runtime.stage_process import served

pytestmark = pytest.mark.alone

FILES = 256
CROWD = 300
ITS_OWN_SOCKETS = 3
"""One that listens, and two with which uvloop wakes itself."""
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
ANSWERED = b"HTTP/1.1 200"
LIVEZ = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
LONG = b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: 9\r\n\r\n"


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


@contextmanager
def _crowd(port: int, number: int, says: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections from three addresses that say this and no more."""
    crowd = []
    try:
        for i in range(number):
            caller = socket.socket()
            caller.bind((ADDRESSES[i % len(ADDRESSES)], 0))
            caller.settimeout(10)
            caller.connect(("127.0.0.1", port))
            caller.sendall(says)
            crowd.append(caller)
        yield crowd
    finally:
        for caller in crowd:
            caller.close()


def _turned_away(url: str, reason: str) -> float:
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    found = re.search(rf'splitway_connections_turned_away_total{{reason="{reason}"}} (\S+)', metrics)
    assert found is not None
    return float(found[1])


def _ask(port: int, host: str, tls: ssl.SSLContext | None = None) -> bytes:
    with socket.socket() as caller:
        caller.settimeout(10)
        caller.bind((host, 0))
        caller.connect(("127.0.0.1", port))
        if tls is None:
            with suppress(ConnectionError):
                caller.sendall(LIVEZ)
                return caller.recv(4096)
            return b""
        with tls.wrap_socket(caller, server_hostname="classifier") as secure:
            secure.sendall(LIVEZ)
            return secure.recv(4096)


def _open_sockets(pid: int) -> int:
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has been closed since
            found += str(link.readlink()).startswith("socket:")
    return found


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """Its address."""
    with served("gateway", {}, FILES) as (url, _):
        yield url


@pytest.mark.parametrize("says", [b"", LIVEZ], ids=["silent", "idle"])
def test_silent_connections_keep_nobody_out_of_the_gateway(gateway: str, says: bytes) -> None:
    with _crowd(_port(gateway), CROWD, says):
        for host in (*ADDRESSES, "127.0.0.4"):
            assert _ask(_port(gateway), host).startswith(ANSWERED)
        assert _turned_away(gateway, "silent")


def test_nor_do_heads_that_never_end(gateway: str) -> None:
    """Longer than for a second: as long as they may still be on their way, they are requests."""
    with _crowd(_port(gateway), CROWD, b"POST /v1/cl"):
        until(lambda: _ask(_port(gateway), "127.0.0.4").startswith(ANSWERED), 5)
        assert _turned_away(gateway, "stalled")


def test_a_request_under_way_is_not_dropped_for_a_newcomer(gateway: str) -> None:
    with _crowd(_port(gateway), 1, LONG) as (first,), _crowd(_port(gateway), CROWD):
        assert _ask(_port(gateway), "127.0.0.4").startswith(ANSWERED)
        first.sendall(b"no picture")
        assert b"HTTP/1.1 " in first.recv(4096)


def test_unfinished_handshakes_keep_nobody_out_of_a_stage(models: Path, tmp_path: Path) -> None:
    Certificates(tmp_path / "certs").renew(["gateway", "classifier"])
    gateway = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    gateway.check_hostname = False
    gateway.load_cert_chain(tmp_path / "certs" / "gateway" / IDENTITY)
    gateway.load_verify_locations(tmp_path / "certs" / "gateway" / TRUST)
    told = {"SPLITWAY_MODELS": str(models), "SPLITWAY_IDENTITY": str(tmp_path / "certs" / "classifier")}
    with served("classifier", told, FILES) as (url, process):
        until(lambda: _ask(_port(url), "127.0.0.4", gateway).startswith(ANSWERED), 10)
        with _crowd(_port(url), CROWD):
            for host in (*ADDRESSES, "127.0.0.4"):
                assert _ask(_port(url), host, gateway).startswith(ANSWERED)
        until(lambda: _open_sockets(process.pid) == ITS_OWN_SOCKETS, 10)
