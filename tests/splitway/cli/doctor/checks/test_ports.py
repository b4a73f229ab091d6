"""Ports that are free, held by us, and held by others."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from splitway.cli.doctor.checks.ports import Port, is_reached_from_elsewhere, port, read_port
from tests.splitway.cli.fake_gateway import Answer, Asked, fake_gateway
from tests.support import free_port


@pytest.fixture
def stranger() -> Iterator[int]:
    """A port on which this process listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_free_port_is_right() -> None:
    found = read_port(free_port(), "gateway")
    assert found.is_free
    assert port(found, pipeline_runs=False).level == "ok"


def test_a_port_that_another_process_holds_is_said_with_its_name_and_id(stranger: int) -> None:
    found = read_port(stranger, "gateway")
    assert not found.is_free
    assert not found.is_splitway
    assert f"(process {os.getpid()})" in found.holder


def test_a_splitway_service_that_runs_is_right() -> None:
    with fake_gateway(lambda _: Answer(content={"name": "splitway", "version": "0.1.0"})) as url:
        found = read_port(int(url.rsplit(":", 1)[1]), "gateway")
    assert found.is_splitway
    result = port(found, pipeline_runs=False)
    assert result.level == "ok"
    assert "a Splitway service that runs" in result.says


@pytest.mark.parametrize(
    ("stage", "pipeline_runs", "level"),
    [("gateway", False, "problem"), ("gateway", True, "warning"), ("classifier", False, "warning")],
)
def test_a_stranger_is_a_problem_only_where_it_keeps_the_gateway_from_starting(
    stage: str, pipeline_runs: bool, level: str
) -> None:
    result = port(Port(8080, stage, is_free=False, holder="nginx (process 7)"), pipeline_runs=pipeline_runs)
    assert result.level == level
    assert "held by nginx (process 7), which is not Splitway" in result.says
    assert "--port" in result.do


def test_a_holder_that_this_user_may_not_see_is_said() -> None:
    assert "may not see" in port(Port(8080, "gateway", is_free=False), pipeline_runs=False).says


def test_a_service_that_says_who_it_is_to_holders_of_a_key_alone_is_splitway_too() -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(content={"live": True}) if asked.path == "/livez" else Answer(401, {"error": "a key"})

    with fake_gateway(of=answer) as url:
        assert read_port(int(url.rsplit(":", 1)[1]), "gateway").is_splitway
    with fake_gateway(of=lambda _: Answer(401, {"error": "a key"})) as url:
        assert not read_port(int(url.rsplit(":", 1)[1]), "gateway").is_splitway


def test_what_is_known_to_be_ours_need_not_say_so(stranger: int) -> None:
    assert read_port(stranger, "classifier", is_ours=True).is_splitway


@pytest.mark.parametrize(
    ("address", "elsewhere"),
    [
        ("127.0.0.1", False),
        ("127.8.4.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", True),  # noqa: S104 - for the moment of the test, and nobody is answered
        ("::", True),
    ],
)
def test_who_listens_beyond_loopback_is_told_by_its_address(address: str, elsewhere: bool) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family, dualstack_ipv6=":" in address) as listener:
        assert is_reached_from_elsewhere(listener.getsockname()[1]) is elsewhere
