"""A port is kept while its process is away: callers are refused, or wait, and no other process takes it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from splitway.errors import SetupError
from splitway.http.server.listening import bind, bind_free, have_wait, keep_refusing, let_listen, let_no_more_in

HOST = "127.0.0.1"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bind_free(HOST) as found:
        yield found


def _is_let_in(listener: socket.socket) -> bool:
    with socket.socket() as caller:
        caller.settimeout(0.2)
        try:
            caller.connect(listener.getsockname())
        except OSError:
            return False
        return True


def test_who_calls_is_refused_or_waits_as_is_asked_for(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_connection((HOST, port)) as waiting, listener.accept()[0]:
        with socket.create_connection((HOST, port)) as queued:
            keep_refusing(listener)
            with pytest.raises(ConnectionResetError):
                queued.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port))
        with pytest.raises(SetupError, match="Address already in use"):
            bind(HOST, port)
        have_wait(listener)
        assert listener.getsockname()[1] == port
        assert _is_let_in(listener)
        assert waiting.fileno() > 0


def test_until_a_process_listens_who_calls_is_refused(listener: socket.socket) -> None:
    keep_refusing(listener)
    let_listen(listener)
    assert not _is_let_in(listener)
    listener.listen()
    assert _is_let_in(listener)


def test_what_a_draining_process_did_to_the_socket_is_undone(listener: socket.socket) -> None:
    let_no_more_in(listener)
    assert not _is_let_in(listener)
    have_wait(listener)
    assert _is_let_in(listener)
