"""A process that is told to stop cuts nobody off: each caller is told in its last answer that the connection ends."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from splitway.security.identities.certificates import Certificates
from splitway.security.identities.service_names import IDENTITY, TRUST
from tests.splitway.runtime.stage_process import served

pytestmark = pytest.mark.alone

CALLERS = 96
REQUEST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Caller:
    """Asks again and again, on one connection until that ends.

    Args:
        port: of the process.
        ended: counts how requests and connections ended.
        draining: tells whether the process was told to stop.
        tls: to connect with.
    """

    def __init__(
        self, port: int, ended: Counter[str], draining: Callable[[], bool], tls: ssl.SSLContext | None
    ) -> None:
        self._port = port
        self._ended = ended
        self._draining = draining
        self._tls = {"ssl": tls, "server_hostname": "classifier"} if tls is not None else {}

    async def run(self) -> None:
        """Until nobody listens any more."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, **self._tls)  # type: ignore[arg-type]
            except ConnectionRefusedError:
                self._ended["refused"] += 1
                return
            try:
                await self._ask(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                self._ended["cut"] += 1
                return
            finally:
                writer.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            was_draining = self._draining()
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(b'{"live":true}'))
            if b"connection: close" in head:
                self._ended["told"] += 1
                assert await reader.read() == b""
                return
            self._ended["kept open too long" if was_draining else "kept"] += 1


@pytest.mark.parametrize("drain_s", ["0", "0.5"])
async def test_no_busy_connection_of_the_gateway_is_cut(drain_s: str) -> None:
    ended: Counter[str] = Counter()
    await asyncio.to_thread(_stop_under_load, "gateway", {"SPLITWAY_DRAIN_S": drain_s}, ended, None)
    assert ended["cut"] == ended["kept open too long"] == 0, ended
    assert ended["told"] >= CALLERS
    assert ended["refused"] == CALLERS


async def test_nor_is_one_of_a_stage_over_tls(models: Path, tmp_path: Path) -> None:
    Certificates(tmp_path).renew(["gateway", "classifier"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.load_cert_chain(tmp_path / "gateway" / IDENTITY)
    tls.load_verify_locations(tmp_path / "gateway" / TRUST)
    told = {
        "SPLITWAY_MODELS": str(models),
        "SPLITWAY_IDENTITY": str(tmp_path / "classifier"),
        "SPLITWAY_DRAIN_S": "0.3",
    }
    ended: Counter[str] = Counter()
    await asyncio.to_thread(_stop_under_load, "classifier", told, ended, tls)
    assert ended["cut"] == ended["kept open too long"] == 0, ended
    assert ended["told"] >= CALLERS


def _stop_under_load(
    service: str, environment: dict[str, str], ended: Counter[str], tls: ssl.SSLContext | None
) -> None:
    with served(service, environment) as (url, process):
        asyncio.run(_callers(int(url.rsplit(":", 1)[1]), process.pid, ended, tls))


async def _callers(port: int, pid: int, ended: Counter[str], tls: ssl.SSLContext | None) -> None:
    told = asyncio.Event()
    callers = [asyncio.create_task(Caller(port, ended, told.is_set, tls).run()) for _ in range(CALLERS)]
    async with asyncio.timeout(30):
        while ended["kept"] < 5 * CALLERS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        await asyncio.sleep(0.1)
        told.set()
        await asyncio.gather(*callers)
