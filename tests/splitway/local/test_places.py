"""Which processes are those that `splitway up` started, and what is an address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from splitway.errors import SetupError
from splitway.local.places import Place, is_splitway, named_url
from testkit.support import until


@pytest.fixture
def dead_pid() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_process_that_has_ended_or_is_another_program_is_not_alive(dead_pid: int) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd="/")
    ours = subprocess.Popen([sys.executable, "-c", "input('splitway')"], stdin=subprocess.PIPE, cwd="/")
    try:
        until(lambda: Place("gateway", "", ours.pid).is_alive, 5)  # a process has no name while it is being made
        assert not any(Place("gateway", "", pid).is_alive for pid in (dead_pid, other.pid))
    finally:
        for process in (other, ours):
            process.kill()
            process.communicate()


def _listens_at(port: int) -> Place:
    return Place("gateway", f"http://127.0.0.1:{port}", os.getpid())


def test_a_process_is_believed_where_it_listens_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "is_alive", True)
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        assert _listens_at(port).doubt is None
        assert "does not listen at" in (Place("gateway", f"http://127.0.0.2:{port}", os.getpid()).doubt or "")
        assert "does not listen at" in (Place("gateway", f"http://other.example:{port}", os.getpid()).doubt or "")
        assert "does not listen at" in (Place("gateway", f"http://127.0.0.1:{port}", os.getppid()).doubt or "")
    assert "does not listen at" in (_listens_at(port).doubt or "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what others must not reach is closed at once
def test_one_that_listens_everywhere_is_believed_on_loopback(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "is_alive", True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as mine:
        assert _listens_at(mine.getsockname()[1]).doubt is None


def test_another_users_process_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "is_alive", True)
    monkeypatch.setattr("splitway.local.places.users_of", lambda _: {os.geteuid(), 4711})
    with socket.create_server(("127.0.0.1", 0)) as mine:
        assert "is another user's" in (_listens_at(mine.getsockname()[1]).doubt or "")


def test_an_address_is_taken_without_its_last_slash() -> None:
    assert named_url("http://gateway:8080/") == "http://gateway:8080"
    assert named_url(None) is None


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("gateway:9000/", "http://gateway:9000"),
        ("gateway", "http://gateway:8080"),
        ("gateway.example:443", "https://gateway.example:443"),
        ("[::1]", "http://[::1]:8080"),
        ("[::1]:9000/prefix", "http://[::1]:9000/prefix"),
        ("gateway/prefix", "http://gateway:8080/prefix"),
        ("https://gateway", "https://gateway"),
    ],
)
def test_an_address_needs_no_scheme_and_then_no_port(written: str, means: str) -> None:
    assert named_url(written) == means


def test_a_process_that_began_at_another_time_is_another() -> None:
    place = Place.of("gateway", "http://127.0.0.1:1", os.getpid())
    assert place.is_alive == is_splitway(os.getpid())
    assert not replace(place, started=(place.started or 0) + 1).is_alive


@pytest.mark.parametrize("url", ["a b:8080", "http://", "http://[", "http://127.0.0.1:99999", "ftp://x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="--url takes an address"):
        named_url(url)
