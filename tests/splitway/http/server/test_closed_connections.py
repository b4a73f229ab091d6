"""A connection that has ended is freed at once, without the help of the garbage collector.

It would else be kept until that next runs, which for a process that makes little garbage is thousands of connections
later: megabytes for who does nothing but connect and be refused.
"""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from splitway.http.server.connections import ConnectionLimits, ConnectionRoom
from splitway.http.server.timed import TimedHttp
from splitway.security.identities.tls import Identity
from testkit.support import until
from tests.splitway.http.server.guarded_server import GuardedServer, read_all, serving, statuses

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
WATCH = GET.replace(b"/x", b"/watch")
BROKEN = b"GET /x HTTP/1.1\r\n\r\n"
FEW = ConnectionLimits(header_timeout_s=0.1, max_pipelined=4)
ROOM = ConnectionRoom(per_address=20)


def _kept() -> int:
    return sum(isinstance(thing, TimedHttp) for thing in gc.get_objects())


@pytest.fixture(scope="module")
def served() -> Iterator[GuardedServer]:
    with serving(FEW, room=ROOM) as served:
        yield served


@contextmanager
def _uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(GET, [200], id="answered"),
        pytest.param(GET * 3, [200] * 3, id="three"),
        pytest.param(GET * 9, [200] * 5 + [429], id="too many"),
        pytest.param(POST + b"123456789", [200], id="body"),
        pytest.param(BROKEN, [400], id="no host"),
        pytest.param(GET + BROKEN, [200, 400], id="the second"),
        pytest.param(b"GARBAGE\r\n\r\n", [400], id="garbage"),
        pytest.param(GET.replace(b"/x", b"/" + b"a" * 9000), [414], id="long"),
        pytest.param(POST.replace(b"/x", b"/early"), [413], id="early"),
        pytest.param(GET[:-3], [408], id="slow"),
        pytest.param(POST + b"123", [], id="unfinished"),
        pytest.param(b"", [], id="silent"),
    ],
)
def test_it_is_freed_however_it_ends(served: GuardedServer, request_: bytes, expected: list[int]) -> None:
    with _uncollected():
        for _ in range(3):
            assert statuses(served.ask(request_)) == expected
        until(lambda: _kept() == 0, 5)


@pytest.mark.parametrize("behind", [b"", GET, BROKEN], ids=["alone", "waiting", "refusal"])
def test_so_is_one_whose_caller_hangs_up_while_he_is_answered(served: GuardedServer, behind: bytes) -> None:
    with _uncollected():
        with served.connect() as client:
            begun = len(served.begun)
            client.sendall(WATCH + behind)
            until(lambda: len(served.begun) > begun, 5)
        until(lambda: _kept() == 0, 5)


@pytest.mark.parametrize("request_", [GET, GET * 3, BROKEN, POST + b"123", b""])
def test_so_is_one_over_tls(identities: Path, request_: bytes) -> None:
    context = Identity(identities / "classifier", "classifier").server_context()
    callers = Identity(identities / "gateway", "gateway").client_context
    with serving(FEW, tls=context) as served, _uncollected():
        for _ in range(3):
            with callers.wrap_socket(served.connect(), server_hostname="classifier") as client:
                client.sendall(request_)
                client.settimeout(0.3)
                read_all(client)
        until(lambda: _kept() == 0, 5)


def test_so_are_those_over_an_address_s_share(served: GuardedServer) -> None:
    with _uncollected():
        flood = [served.connect() for _ in range(4 * ROOM.per_address)]
        for client in flood:
            client.shutdown(socket.SHUT_WR)
            read_all(client)
            client.close()
        until(lambda: _kept() == 0, 5)
