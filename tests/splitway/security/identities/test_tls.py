"""TLS between two services in one process: who is let in, who is called, and new certificates while both run."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from splitway.errors import SetupError, Unreachable
from splitway.gateway.transport.http1 import Reply
from splitway.gateway.transport.transport import Transport
from splitway.http.server.connections import ConnectionLimits, ConnectionRoom, Connections
from splitway.http.server.guarded import guarded_protocol
from splitway.http.server.tls_server import TlsServer
from splitway.security.identities.certificates import Certificates
from splitway.security.identities.service_names import IDENTITY, TRUST
from splitway.security.identities.tls import Identity
from tests.splitway.http.server.guarded_server import ANY_NUMBER

SERVICES = ("gateway", "classifier", "feature_extractor", "other")


class Time:
    """Seconds and dates that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.ahead = timedelta(0)

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def time() -> Time:
    return Time()


def _certificates(folder: Path, time: Time, *services: str) -> Certificates:
    made = Certificates(folder, time.now, lambda: None)
    made.create(services)
    return made


@pytest.fixture
def certificates(tmp_path: Path, time: Time) -> Certificates:
    return _certificates(tmp_path / "certs", time, *SERVICES)


class Stage:
    """Counts what it is asked, on TLS and on a plain port beside it."""

    def __init__(
        self, certificates: Certificates, time: Time, handshake_s: float = 5.0, room: ConnectionRoom = ANY_NUMBER
    ) -> None:
        self.asked = 0
        self.identity = Identity(certificates.folder / "classifier", "classifier", time.clock, time.now)
        self.connections = Connections(room)
        protocol = guarded_protocol(
            ConnectionLimits(), lambda error, *_: ("text/plain", error.detail.encode()), self.connections
        )
        config = uvicorn.Config(
            self._app, http=protocol, log_config=None, log_level="warning", interface="asgi3", lifespan="off"
        )
        config.load()
        self._sockets = [_listening(), _listening()]
        self.port, self.plain_port = (each.getsockname()[1] for each in self._sockets)
        self.url = f"https://127.0.0.1:{self.port}/"
        self._server = TlsServer(config, self.identity, self.connections, handshake_s)

    async def _app(self, scope: Scope, _: Receive, send: Send) -> None:
        self.asked += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stage]:
        task = asyncio.create_task(self._server._serve(self._sockets))
        while not self._server.started or len(self._server.servers) < len(self._sockets):  # noqa: ASYNC110
            await asyncio.sleep(0.001)  # uvicorn has no event for it
        try:
            yield self
        finally:
            self._server.should_exit = self._server.force_exit = True
            await task


def _listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


class Gateway:
    """A pool with the gateway's identity."""

    def __init__(self, certificates: Certificates, time: Time) -> None:
        self.identity = Identity(certificates.folder / "gateway", "gateway", time.clock, time.now)
        self.pool = Transport(1000, identity=self.identity)

    async def ask(self, stage: Stage, peer: str = "classifier") -> Reply:
        return await self.pool.call(peer, "GET", stage.url, timeout_s=2, headers={})


@pytest.fixture
async def gateway(certificates: Certificates, time: Time) -> AsyncIterator[Gateway]:
    made = Gateway(certificates, time)
    yield made
    made.pool.close()
    await asyncio.sleep(0.01)  # the connections are closed by the loop


async def _ask_raw(port: int, context: ssl.SSLContext) -> bytes:
    """What a caller with these means is answered; nothing if the connection is ended instead."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="any")
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            return await asyncio.wait_for(reader.read(100), 2)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    except OSError:
        return b""


def _caller(folder: Path | None) -> ssl.SSLContext:
    """A client that takes any server and shows the certificate of this folder, or none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if folder is not None:
        context.load_cert_chain(folder / IDENTITY)
    return context


async def test_the_gateway_is_answered_and_its_connection_kept(
    certificates: Certificates, time: Time, gateway: Gateway
) -> None:
    async with Stage(certificates, time).running() as stage:
        assert [(await gateway.ask(stage)).status for _ in range(3)] == [200] * 3
        assert gateway.pool.idle == 1
        assert (await _ask_raw(stage.port, _caller(certificates.folder / "gateway"))).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("who", ["nobody", "classifier", "feature_extractor", "other", "foreign", "expired", "future"])
async def test_a_stage_takes_nobody_but_the_gateway(
    certificates: Certificates, time: Time, tmp_path: Path, who: str
) -> None:
    folders = {each: certificates.folder / each for each in SERVICES}
    if who == "foreign":
        folders["foreign"] = _certificates(tmp_path / "foreign", time, "gateway").folder / "gateway"
    elif who in {"expired", "future"}:
        time.ahead = timedelta(days=-8 if who == "expired" else 1)
        certificates.create(["gateway"])
        folders[who] = certificates.folder / "gateway"
    async with Stage(certificates, time).running() as stage:
        assert await _ask_raw(stage.port, _caller(folders.get(who))) == b""
        assert stage.asked == 0


async def test_plain_http_and_older_tls_are_not_answered(certificates: Certificates, time: Time) -> None:
    older = _caller(certificates.folder / "gateway")
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Stage(certificates, time).running() as stage:
        assert await _ask_raw(stage.port, older) == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"HTTP/1.1" not in await asyncio.wait_for(reader.read(), 2)
        writer.close()
        assert stage.asked == 0


async def test_the_other_sockets_are_plain(certificates: Certificates, time: Time) -> None:
    async with Stage(certificates, time).running() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.plain_port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(100), 2)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_who_does_not_finish_the_handshake_is_not_waited_for(certificates: Certificates, time: Time) -> None:
    async with Stage(certificates, time, handshake_s=0.1).running() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_connection_is_never_resumed(certificates: Certificates, time: Time) -> None:
    """A session taken up again would go on after the certificate that it began with has expired."""
    async with Stage(certificates, time).running() as stage:
        context = _caller(certificates.folder / "gateway")
        _, writer = await asyncio.open_connection("127.0.0.1", stage.port, ssl=context, server_hostname="any")
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(0.05)
        session = writer.get_extra_info("ssl_object").session
        assert session is None or not session.has_ticket
        writer.close()


# Connections are counted from before their handshakes.


async def _opened(stage: Stage, number: int) -> list[socket.socket]:
    """Connections that say nothing, and that the stage has accepted."""
    silent = [socket.create_connection(("127.0.0.1", stage.port)) for _ in range(number)]
    async with asyncio.timeout(5):
        while stage.connections.addresses.get("127.0.0.1", 0) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return silent


async def _ends(stage: Stage) -> None:
    """Wait until nothing is counted any more."""
    async with asyncio.timeout(5):
        while len(stage.connections) or stage.connections.addresses:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_one_address_without_a_certificate_keeps_nobody_out(
    certificates: Certificates, time: Time, gateway: Gateway
) -> None:
    async with Stage(certificates, time, room=ConnectionRoom(connections=8)).running() as stage:
        silent = await _opened(stage, 8)
        assert (await gateway.ask(stage)).status == 200
        assert stage.connections.addresses == {"127.0.0.1": 8}
        assert stage.connections.refused_by_reason["silent"] == 1
        assert await asyncio.to_thread(silent[0].recv, 1) == b""  # the oldest
        for each in silent:
            each.close()


async def test_handshakes_count_for_their_address(certificates: Certificates, time: Time) -> None:
    async with Stage(certificates, time, room=ConnectionRoom(per_address=3)).running() as stage:
        silent = await _opened(stage, 3)
        assert await _ask_raw(stage.port, _caller(certificates.folder / "gateway")) == b""
        assert stage.connections.refused_by_reason["rate_limited"] == 1
        for each in silent:
            each.close()
        await _ends(stage)
        assert await _ask_raw(stage.port, _caller(certificates.folder / "gateway")) != b""


@pytest.mark.parametrize("what", ["nothing", "garbage", "half", "stranger", "gateway"])
async def test_no_end_of_a_handshake_leaks_a_count(certificates: Certificates, time: Time, what: str) -> None:
    """Many at once, some of them over the limit."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)

    async def one(port: int) -> None:
        if what in {"stranger", "gateway"}:
            await _ask_raw(port, _caller(certificates.folder / "gateway" if what == "gateway" else None))
            return
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write({"nothing": b"", "garbage": b"GET / HTTP/1.1\r\n\r\n", "half": hello}[what])
        await asyncio.sleep(0)
        writer.transport.abort()

    async with Stage(
        certificates, time, handshake_s=0.3, room=ConnectionRoom(per_address=30, connections=20)
    ).running() as stage:
        for _ in range(5):
            await asyncio.gather(*(one(stage.port) for _ in range(40)), return_exceptions=True)
        await _ends(stage)
        assert await _ask_raw(stage.port, _caller(certificates.folder / "gateway")) != b""


class _Eavesdropper(asyncio.Protocol):
    """A server that keeps whatever it is sent."""

    def __init__(self, heard: list[bytes]) -> None:
        self._heard = heard

    def data_received(self, data: bytes) -> None:
        self._heard.append(data)


@pytest.mark.parametrize("who", ["feature_extractor", "other", "foreign", "expired"])
async def test_the_gateway_sends_not_a_byte_to_anybody_else(
    certificates: Certificates, time: Time, tmp_path: Path, who: str, gateway: Gateway
) -> None:
    heard: list[bytes] = []
    folder = certificates.folder / who
    if who == "foreign":
        folder = _certificates(tmp_path / "foreign", time, "classifier").folder / "classifier"
    elif who == "expired":
        time.ahead = timedelta(days=-8)
        folder = _certificates(certificates.folder, time, "classifier").folder / "classifier"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / IDENTITY)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Eavesdropper(heard), "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        headers = {"x-service-token": "t"}
        with pytest.raises(Unreachable) as caught:
            await gateway.pool.call("classifier", "POST", url, timeout_s=2, headers=headers, body=b"features")
        await asyncio.sleep(0.05)
    assert heard == []
    assert ("answers in place of classifier" in caught.value.private) == (who in {"feature_extractor", "other"})


async def test_a_connection_to_one_service_is_not_used_for_another(
    certificates: Certificates, time: Time, gateway: Gateway
) -> None:
    async with Stage(certificates, time).running() as stage:
        await gateway.ask(stage)
        with pytest.raises(Unreachable) as caught:
            await gateway.ask(stage, "feature_extractor")
        assert caught.value.private.endswith(": classifier answers in place of feature_extractor")
        assert stage.asked == 1


async def test_without_an_identity_https_is_not_spoken(certificates: Certificates, time: Time) -> None:
    pool = Transport(1000)
    async with Stage(certificates, time).running() as stage:
        with pytest.raises(Unreachable) as caught:
            await pool.call("classifier", "GET", stage.url, timeout_s=2, headers={})
    assert caught.value.private.endswith(": https needs an identity")


async def test_new_certificates_are_used_by_new_connections(
    certificates: Certificates, time: Time, gateway: Gateway
) -> None:
    async with Stage(certificates, time).running() as stage:
        held = await asyncio.open_connection(
            "127.0.0.1", stage.port, ssl=_caller(certificates.folder / "gateway"), server_hostname="any"
        )
        await gateway.ask(stage)
        before = stage.identity.certificate.ends
        certificates.create(SERVICES, timedelta(days=3))
        await gateway.ask(stage)
        assert (stage.identity.generation, gateway.identity.generation) == (0, 0)  # not looked at yet
        time.seconds += 2.5
        await gateway.ask(stage)
        assert (stage.identity.generation, gateway.identity.generation) == (1, 1)
        assert stage.identity.certificate.ends != before
        assert gateway.pool.idle == 1  # the one made before is closed
        held[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await held[0].read(100)).startswith(b"HTTP/1.1 200")  # and who holds on to one goes on
        held[1].close()


async def test_an_authority_that_is_forgotten_is_trusted_no_more_at_once(
    certificates: Certificates, time: Time, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "splitway.security")
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    (stolen / IDENTITY).write_bytes((certificates.folder / "gateway" / IDENTITY).read_bytes())
    async with Stage(certificates, time).running() as stage:
        certificates.create([], new_authority=True)
        time.seconds += 2.5
        assert await _ask_raw(stage.port, _caller(stolen)) != b""
        assert caplog.records[-1].getMessage().startswith("a new certificate, good until")
        certificates.forget_previous()
        time.seconds += 2.5
        assert await _ask_raw(stage.port, _caller(stolen)) == b""
        assert caplog.records[-1].getMessage().startswith("the trusted certificates have changed")
        assert await _ask_raw(stage.port, _caller(certificates.folder / "gateway")) != b""


@pytest.mark.parametrize("content", [None, b"", b"half of a certi", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
async def test_what_cannot_be_read_changes_nothing(
    content: bytes | None,
    certificates: Certificates,
    time: Time,
    gateway: Gateway,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "splitway.security")
    file = certificates.folder / "classifier" / IDENTITY
    kept = file.read_bytes()
    async with Stage(certificates, time).running() as stage:
        file.unlink() if content is None else file.write_bytes(content)
        for _ in range(3):
            time.seconds += 2.5
            stage.identity.look()
        assert (await gateway.ask(stage)).status == 200
        assert [record.levelname for record in caplog.records] == ["ERROR"]  # once, not each time
        file.write_bytes(kept)
        time.seconds += 2.5
        stage.identity.look()
        assert caplog.records[-1].getMessage().startswith("a new certificate")
    assert "PRIVATE" not in caplog.text


def test_a_certificate_about_to_expire_is_spoken_of_once_an_hour(
    certificates: Certificates, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Identity(certificates.folder / "gateway", "gateway", time.clock, time.now)

    def said(ahead: timedelta, seconds: float) -> list[Any]:
        caplog.clear()
        time.ahead = ahead
        for _ in range(3):
            time.seconds += seconds
            identity.look()
        return [record.levelname for record in caplog.records]

    assert said(timedelta(days=5), 10) == []
    assert said(timedelta(days=6), 10) == ["WARNING"]
    assert said(timedelta(days=6), 10) == []
    assert said(timedelta(days=8), 3601) == ["ERROR"] * 3
    assert "has expired" in caplog.text


def test_a_service_does_not_start_with_the_identity_of_another(certificates: Certificates) -> None:
    with pytest.raises(SetupError, match="certificate of classifier, and this is gateway"):
        Identity(certificates.folder / "classifier", "gateway")


@pytest.mark.parametrize("name", [IDENTITY, TRUST])
@pytest.mark.parametrize("content", [None, b"", b"no PEM"])
def test_a_service_does_not_start_without_an_identity(
    certificates: Certificates, name: str, content: bytes | None
) -> None:
    file = certificates.folder / "gateway" / name
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(SetupError, match="gateway"):
        Identity(certificates.folder / "gateway", "gateway")
