from __future__ import annotations

import json
import random
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from splitway.http.server.connections import ConnectionLimits, ConnectionRoom
from splitway.security.identities.tls import Identity
from testkit.support import until
from tests.security.malformed import CUT_SHORT, KINDS
from tests.splitway.http.server.guarded_server import GuardedServer, is_closed, read_all, serving, statuses

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HURRIED = ConnectionLimits(header_timeout_s=0.3, body_timeout_s=0.3, answer_timeout_s=0.5, max_pipelined=4)
ROOM = ConnectionRoom(per_address=40)


def post(path: str, length: int, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {length}", *lines, "", ""]).encode()


@pytest.fixture(scope="module")
def patient() -> Iterator[GuardedServer]:
    with serving(ConnectionLimits()) as served:
        yield served


@pytest.fixture
def hurried() -> Iterator[GuardedServer]:
    with serving(HURRIED, room=ROOM) as served:
        yield served


def told(reply: bytes) -> dict[str, object]:
    """What the app says that it saw."""
    content: dict[str, object] = json.loads(reply.rpartition(b"\r\n\r\n")[2])
    return content


# What is refused.


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_requests_are_refused_in_the_service_s_own_form(patient: GuardedServer, kind: str) -> None:
    dice = random.Random(7)
    for _ in range(4):
        request = KINDS[kind](dice)
        reply = patient.ask(request)
        head, _, body = reply.partition(b"\r\n\r\n")
        assert [status // 100 for status in statuses(reply)] == [4], (request[:200], reply[:200])
        assert statuses(reply) == [json.loads(body)["status"]]
        assert b"content-type: application/problem+json" in head
        assert b"connection: close" in head


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (b"GET /v2/a?b HTTP/1.1\r\n\r\n", "/v2/a"),
        (b"GET http://a/v2/a HTTP/1.1\r\nHost: b\r\n\r\n", "/v2/a"),
        (b"GET /v%32/a HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 101 + b"\r\n", "/v2/a"),
        (b"GET /v2/%zz HTTP/1.1\r\nHost: a\r\n\r\n", "/v2/%zz"),
        (b"POST /v2/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "/v2/a"),
        (b"GARBAGE\r\n\r\n", ""),
    ],
    ids=["no host", "another host", "many headers", "broken path", "broken body", "no target"],
)
def test_a_refusal_is_told_the_path_that_it_is_about(patient: GuardedServer, request_: bytes, path: str) -> None:
    assert told(patient.ask(request_))["path"] == path


def test_a_target_that_is_too_long_tells_its_path_too(patient: GuardedServer) -> None:
    reply = patient.ask(b"GET /v2/" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert statuses(reply) == [414]
    assert str(told(reply)["path"]).startswith("/v2/aaa")


@pytest.mark.parametrize("kind", CUT_SHORT)
def test_who_hangs_up_in_the_middle_is_not_answered(patient: GuardedServer, kind: str) -> None:
    with patient.connect() as client:
        client.sendall(CUT_SHORT[kind](random.Random(7)))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""


def test_strangers_fill_no_log() -> None:
    upgrade = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n"
    with serving(ConnectionLimits()) as served, served.connect():
        for _ in range(3):
            assert statuses(served.ask(b"GARBAGE\r\n\r\n")) == [400]
            assert statuses(served.ask(upgrade)) == [200]
            assert statuses(served.ask(upgrade + b"\0\0"))[-1:] in ([200], [400])
            time.sleep(0.4)
        assert len(served.log) == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (f"GET /{'a' * 9000} HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX: {'a' * 20_000}\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "X: a\r\n" * 101 + "\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 417),
    ],
    ids=["target", "header", "headers", "expectation"],
)
def test_each_limit_has_its_status(patient: GuardedServer, request_: str, status: int) -> None:
    assert statuses(patient.ask(request_.encode())) == [status]


def test_a_large_head_behind_a_small_request_is_found(patient: GuardedServer) -> None:
    large = b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n"
    assert statuses(patient.ask(GET + large)) == [200, 431]


def test_trailers_that_do_not_end_are_refused(patient: GuardedServer) -> None:
    trailers = b"".join(b"X-%d: a\r\n" % number for number in range(60_000))
    assert statuses(patient.ask(CHUNKED + b"1\r\na\r\n0\r\n" + trailers)) == [431]


# What is not.


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /x HTTP/1.0\r\n\r\n",
        b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a.example:80/x?y HTTP/1.1\r\nHost: A.example\r\n\r\n",
        b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: feature_extractor:8001\r\n\r\n",
        b'GET /x?a=[1]&b={"c"}|d HTTP/1.1\r\nhost: a\r\nx: \xe9\r\n\r\n',
        CHUNKED + b"1;name=value\r\na\r\n0\r\nX-Checksum: 1\r\n\r\n",
    ],
    ids=["1.0", "blank", "absolute", "no-path", "asterisk", "v6", "underscore", "query", "extension"],
)
def test_what_is_unusual_and_valid_is_answered(patient: GuardedServer, request_: bytes) -> None:
    assert statuses(patient.ask(request_)) == [200]


def test_the_path_is_decoded(patient: GuardedServer) -> None:
    seen = told(patient.ask(b"GET /caf%C3%A9?a=%20b HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert (seen["path"], seen["query"]) == ("/café", "a=%20b")


def test_only_what_is_for_the_app_reaches_it(patient: GuardedServer) -> None:
    kept = {"host": "a", "traceparent": "00-1", "x-request-id": "1", "x-service-token": "1", "x-attempt-count": "1"}
    dropped = {"connection": "close, X-Secret", "x-secret": "1", "x-forwarded-for": "1.1.1.1", "forwarded": "for=1"}
    dropped |= {
        "te": "trailers",
        "proxy-authorization": "1",
        "keep-alive": "1",
        "trailer": "x",
        "x-forwarded-host": "b",
    }
    lines = [f"{name}: {value}" for name, value in (kept | dropped).items()]
    seen = told(patient.ask("\r\n".join(["GET /x HTTP/1.1", *lines, "", ""]).encode()))
    assert seen["headers"] == kept


def test_a_trailer_does_not_become_a_header(patient: GuardedServer) -> None:
    seen = told(patient.ask(CHUNKED + b"1\r\na\r\n0\r\nAuthorization: Bearer b\r\n\r\n"))
    assert (seen["headers"], seen["body"]) == ({"host": "a"}, "a")


def test_an_upgrade_is_ignored_and_the_body_read(patient: GuardedServer) -> None:
    """Java's client asks for h2c with every request; llhttp takes what follows the headers for the other protocol."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    lines = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"]
    with patient.connect() as client:
        client.settimeout(0.5)
        client.sendall(post("/x", len(smuggled), *lines))
        client.sendall(smuggled + GET)
        replies = read_all(client)
    assert statuses(replies) == [200, 200]
    assert b"smuggled HTTP/1.1" in replies
    assert "/smuggled" not in patient.begun


@pytest.mark.parametrize("listed", ["upgrade, content-length", "Upgrade, Transfer-Encoding", "upgrade, host"])
def test_connection_does_not_take_the_framing_or_the_host_away(patient: GuardedServer, listed: str) -> None:
    """Else a proxy that passes Upgrade on would see one request where here there are two."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    if "Transfer" in listed:
        framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    else:
        framed = b"Content-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled)
    head = f"POST /x HTTP/1.1\r\nHost: a\r\nConnection: {listed}\r\nUpgrade: x\r\n".encode()
    reply = patient.ask(head + framed)
    assert statuses(reply) == [200]
    assert told(reply)["body"] == smuggled.decode()
    assert "/smuggled" not in patient.begun


@pytest.mark.parametrize("listed", ["host", "x, Host"])
def test_connection_does_not_hide_the_host(patient: GuardedServer, listed: str) -> None:
    reply = patient.ask(f"GET /x HTTP/1.1\r\nHost: evil\r\nConnection: {listed}, close\r\n\r\n".encode())
    headers = told(reply)["headers"]
    assert isinstance(headers, dict)
    assert headers["host"] == "evil"


def test_an_old_caller_is_not_told_to_go_on(patient: GuardedServer) -> None:
    request = b"POST /x HTTP/1.%d\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"
    assert statuses(patient.ask(request % 0)) == [200]
    assert statuses(patient.ask(request % 1)) == [100, 200]


# Time.


def test_a_silent_connection_is_closed(hurried: GuardedServer) -> None:
    with hurried.connect() as client:
        assert client.recv(1) == b""


def test_dripping_headers_are_cut_off(hurried: GuardedServer) -> None:
    with hurried.connect() as client:
        assert statuses(_drip(client, GET[:-4] + b"\r\nX: " + b"a" * 1000)) == [408]


def test_so_are_those_of_a_later_request(hurried: GuardedServer) -> None:
    with hurried.connect() as client:
        client.sendall(GET)
        assert statuses(client.recv(65536)) == [200]
        assert statuses(_drip(client, GET[:-4] + b"\r\nX: " + b"a" * 1000)) == [408]


def test_a_dripping_body_is_cut_off_and_the_app_told(hurried: GuardedServer) -> None:
    with hurried.connect() as client:
        client.sendall(post("/drip", 1000))
        assert statuses(_drip(client, b"a" * 1000)) == [408]
    until(lambda: hurried.hung_up == ["/drip"], 5)


def test_an_idle_connection_is_kept_as_long_as_said() -> None:
    with serving(HURRIED, keepalive_s=1) as served, served.connect() as client:
        client.sendall(GET)
        assert statuses(client.recv(65536)) == [200]
        client.settimeout(0.6)  # longer than anything else may take
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
        assert client.recv(1) == b""


def test_an_answer_that_is_not_read_is_given_up(hurried: GuardedServer) -> None:
    """And reset, so that the kernel does not hold it for longer."""
    with hurried.connect(receive_bytes=4096) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        poll = select.poll()
        poll.register(client, select.POLLERR)
        assert poll.poll(5_000)


def _drip(client: socket.socket, data: bytes) -> bytes:
    """Send a byte every hundredth of a second until the other side says something."""
    client.settimeout(0.01)
    for byte in data:
        client.sendall(bytes([byte]))
        try:
            return client.recv(65536)
        except TimeoutError:
            continue
    return b""


# An early answer.


@pytest.mark.parametrize("lines", [(), ("Connection: close",)], ids=["kept", "closed"])
def test_who_sends_on_after_an_answer_can_read_it(patient: GuardedServer, lines: tuple[str, ...]) -> None:
    with patient.connect() as client:
        client.sendall(post("/early", 6_000_000, *lines))
        for _ in range(5):
            time.sleep(0.02)  # the answer has been there for long
            client.sendall(b"a" * 1_000_000)
        assert statuses(client.recv(65536)) == [413]


def test_then_the_connection_serves_on_if_the_rest_comes_soon(patient: GuardedServer) -> None:
    with patient.connect() as client:
        client.settimeout(0.5)
        client.sendall(post("/early", 200_000) + b"a" * 200_000 + GET)
        assert statuses(read_all(client)) == [413, 200]


@pytest.mark.parametrize("lines", [(), ("Connection: close",)], ids=["kept", "closed"])
def test_and_it_is_closed_if_not(patient: GuardedServer, lines: tuple[str, ...]) -> None:
    with patient.connect() as client:
        client.sendall(post("/early", 1_000_000_000, *lines))
        assert statuses(client.recv(65536)) == [413]
        assert client.recv(1) == b""


def test_no_more_than_so_much_is_thrown_away(patient: GuardedServer) -> None:
    with patient.connect() as client:
        client.sendall(post("/early", 1_000_000_000_000))
        assert _sent_until_cut_off(client) < 64_000_000


def _sent_until_cut_off(client: socket.socket) -> int:
    sent = 0
    with suppress(ConnectionError):
        while sent < 1_000_000_000:
            sent += client.send(b"a" * 1_000_000)
    return sent


# Several requests at once.


def test_a_refusal_does_not_overtake_the_answer_before_it(patient: GuardedServer) -> None:
    """Else the caller takes it for the answer to his first request."""
    with patient.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n")
        until(lambda: "/wait" in patient.begun, 5)
        patient.let_go()
        client.settimeout(0.5)
        assert statuses(read_all(client)) == [200, 400]


def test_nor_does_that_of_a_broken_body(patient: GuardedServer) -> None:
    assert statuses(patient.ask(GET + GET + CHUNKED + b"nothing\r\n" + GET)) == [200, 200, 400]


def test_what_comes_behind_the_last_request_is_not_answered(patient: GuardedServer) -> None:
    last = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert statuses(patient.ask(GET + last + GET)) == [200, 200]
    assert statuses(patient.ask(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET)) == [200]


def test_only_so_many_requests_wait(hurried: GuardedServer) -> None:
    assert statuses(hurried.ask(GET * 5)) == [200] * 5
    assert statuses(hurried.ask(GET * 9)) == [200] * 5 + [429]


def test_who_hangs_up_is_gone_for_the_request_being_answered(hurried: GuardedServer) -> None:
    """And not just for the one read last."""
    with hurried.connect() as client:
        client.sendall(b"GET /watch HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        until(lambda: "/watch" in hurried.begun, 5)
    until(lambda: hurried.hung_up == ["/watch"], 5)


def test_time_does_not_run_while_requests_wait() -> None:
    """Nothing is read meanwhile, so nothing can be too late."""
    with serving(ConnectionLimits(body_timeout_s=1)) as served, served.connect() as client:
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + post("/x", 3))
        client.settimeout(1.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        served.let_go()
        time.sleep(0.5)
        client.sendall(b"abc")
        assert statuses(read_all(client)) == [200, 200]


# TLS, which knows no half-closed connections and does not tell what it has not sent.


@pytest.fixture
def callers_context(identities: Path) -> ssl.SSLContext:
    return Identity(identities / "gateway", "gateway").client_context


@pytest.fixture
def behind_tls(identities: Path) -> Iterator[GuardedServer]:
    context = Identity(identities / "classifier", "classifier").server_context()
    with serving(HURRIED, tls=context) as served:
        yield served


def test_over_tls_refusals_are_read(behind_tls: GuardedServer, callers_context: ssl.SSLContext) -> None:
    for request, status in ((b"GARBAGE\r\n\r\n", 400), (GET[:-2], 408), (post("/early", 9), 413)):
        with callers_context.wrap_socket(behind_tls.connect(), server_hostname="classifier") as client:
            client.sendall(request)
            assert statuses(read_all(client)) == [status]


def test_over_tls_an_answer_that_is_not_read_is_given_up(
    behind_tls: GuardedServer, callers_context: ssl.SSLContext
) -> None:
    with callers_context.wrap_socket(behind_tls.connect(4096), server_hostname="classifier") as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        poll = select.poll()
        poll.register(client, select.POLLERR)
        assert poll.poll(5_000)


# Addresses.


def test_an_address_has_so_many_connections(hurried: GuardedServer) -> None:
    clients = [hurried.connect() for _ in range(ROOM.per_address)]
    try:
        for client in clients:
            client.sendall(GET)
            assert statuses(client.recv(65536)) == [200]
        reply = hurried.ask(GET)
        assert statuses(reply) == [429]
        assert b"retry-after: 1" in reply
    finally:
        for client in clients:
            client.close()
    until(lambda: hurried.connections is not None and hurried.connections.addresses == {}, 5)
    assert statuses(hurried.ask(GET)) == [200]


def test_a_flood_leaks_no_count(hurried: GuardedServer) -> None:
    flood = [hurried.connect() for _ in range(4 * ROOM.per_address)]
    assert all(is_closed(client) for client in flood)
    for client in flood:
        client.close()
    until(lambda: hurried.connections is not None and not len(hurried.connections), 5)
    assert hurried.connections is not None
    assert hurried.connections.addresses == {}


def test_slow_callers_do_not_hold_up_the_end() -> None:
    with serving(ConnectionLimits()) as served:
        clients = [served.connect() for _ in range(3)]
        clients[1].sendall(GET[:-6])
        clients[2].sendall(post("/early", 1_000_000))
        assert statuses(clients[2].recv(65536)) == [413]
    assert all(is_closed(client) for client in clients)
    for client in clients:
        client.close()
