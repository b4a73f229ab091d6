"""From addresses to replicas, with a resolver that fails, hangs and changes its mind."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from splitway.gateway.fleet.dns import Name, look_up
from tests.gateway.resilience.support import in_virtual_time


class Resolver:
    """Gives what a test says, or raises it."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def _seen(name: Name, times: int) -> list[list[str]]:
    """What a name stands for after each look."""
    seen = []
    for _ in range(times):
        await name.look()
        seen.append([url.removeprefix("http://").removesuffix(":81") for url in name.urls])
    return seen


@pytest.mark.parametrize(
    ("url", "port"), [("http://a:81", 81), ("https://a:81", 81), ("http://a", 80), ("https://a", 443)]
)
async def test_a_name_stands_for_every_machine_that_it_resolves_to(url: str, port: int) -> None:
    resolver = Resolver(["10.0.0.2", "fd00::1", "10.0.0.1"])
    name = Name(url, resolver)
    await name.look()
    scheme = url.partition(":")[0]
    assert name.urls == [f"{scheme}://{host}:{port}" for host in ("10.0.0.1", "10.0.0.2", "[fd00::1]")]
    assert resolver.asked == [("a", port)]


FAILURES = [
    socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
    socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    OSError("no file descriptors"),
    UnicodeError("label too long"),
    [],
]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
async def test_what_is_known_outlasts_failures_however_many(
    failure: list[str] | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    name = Name("http://a:81", Resolver(["10.0.0.1"], *[failure] * 50, ["10.0.0.2"]))
    seen = await _seen(name, 52)
    assert seen == [["10.0.0.1"]] * 51 + [["10.0.0.1", "10.0.0.2"]]
    assert len(caplog.records) == 2, "said once, and once that it is over"


async def test_an_address_goes_after_three_answers_in_a_row_that_lack_it_and_comes_at_once() -> None:
    both, one, failure = ["10.0.0.1", "10.0.0.2"], ["10.0.0.1"], OSError("no")
    name = Name("http://a:81", Resolver(both, one, one, both, one, failure, one, one, both))
    assert await _seen(name, 9) == [both] * 7 + [one, both]


async def test_a_name_that_never_resolved_stands_for_itself_until_it_does() -> None:
    name = Name("http://a:81", Resolver(OSError("no such host"), ["10.0.0.1"]))
    await name.look()
    assert (name.urls, name.is_unresolved, name.trouble) == (["http://a:81"], True, "no such host")
    await name.look()
    assert (name.urls, name.is_unresolved, name.trouble) == (["http://10.0.0.1:81"], False, "")


@pytest.mark.parametrize("url", ["http://127.0.0.1:81", "http://[::1]:81", "http://localhost:81"])
def test_an_address_is_not_looked_up(url: str) -> None:
    assert Name(url).is_address
    assert Name(url).urls == [url]


async def test_a_resolver_that_hangs_uses_up_one_thread_and_no_executors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("splitway.gateway.fleet.dns.LOOK_UP_LIMIT_S", 0.02)
    gate = threading.Event()

    def hangs(*_: object) -> list[str]:
        gate.wait(30)
        return ["10.0.0.1"]

    name, before = Name("http://a:81", hangs), threading.active_count()
    for _ in range(20):
        await name.look()
    assert threading.active_count() == before + 1
    assert "no answer within" in name.trouble
    monkeypatch.setattr("splitway.gateway.fleet.dns.LOOK_UP_LIMIT_S", 10)
    gate.set()
    await name.look()
    assert name.urls == ["http://10.0.0.1:81"], "an answer that comes late is one"


def test_one_that_hangs_for_ever_is_given_up_for_another_a_few_times() -> None:
    gate = threading.Event()

    def hangs(*_: object) -> list[str]:
        gate.wait(30)
        return ["10.0.0.1"]

    async def main() -> int:
        name = Name("http://a:81", hangs)
        for _ in range(200):  # each takes two seconds
            await name.look()
        return name._threads

    try:
        assert in_virtual_time(main()) == 4
    finally:
        gate.set()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(socket.AF_INET, "10.0.0.1"), (socket.AF_INET6, "fd00::1")], ["10.0.0.1"]),
        ([(socket.AF_INET6, "fd00::1"), (socket.AF_INET6, "fd00::2")], ["fd00::1", "fd00::2"]),
        ([(socket.AF_INET6, "fe80::1", 3)], ["fe80::1%3"]),
    ],
    ids=["of both kinds", "IPv6 alone", "of one link"],
)
def test_of_a_machine_with_both_kinds_of_address_one_is_enough(
    found: list[Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    infos = [
        (kind, 1, 6, "", (host, 81) if kind is socket.AF_INET else (host, 81, 0, *(zone or [0])))
        for kind, host, *zone in found
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)
    assert look_up("a", 81) == expected


async def test_no_thread_left_is_a_failure_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    name = Name("http://a:81", Resolver(["10.0.0.1"]))
    await name.look()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none)
        await asyncio.wait_for(name.look(), 5)
    assert name.urls == ["http://10.0.0.1:81"]
