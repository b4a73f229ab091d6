"""Addresses of a Redis: what could never be reached stops the start, in one line."""

from __future__ import annotations

import pytest

from splitway.environment import read_environment
from splitway.errors import SetupError
from splitway.gateway.settings import GatewaySettings

WRONG = {
    "redis://127.0.0.1:notaport/0": "port",
    "redis://127.0.0.1:99999/0": "port",
    "redis://127.0.0.1:0/0": "port",
    "redis://127.0.0.1:-1/0": "port",
    "redis://[::1": "port",
    "redis://:6379/0": "host",
    "redis:///0": "host",
    "redis://127.0.0.1/zero": "database",
    "redis://127.0.0.1/0/1": "database",
    "redis://127.0.0.1:6379/0?nonsense=1": "nonsense",
    "redis://127.0.0.1:6379/0?socket_timeout=soon": "socket_timeout",
    "redis://127.0.0.1:6379/0?protocol=9": "protocol",
    "redis://127.0.0.1:6379/0?decode_responses=true": "decode_responses",
    "rediss://127.0.0.1:6379/0?ssl_cert_reqs=perhaps": "ssl_cert_reqs",
    "redis://127.0.0.1:6379/0#part": "#",
}


@pytest.mark.parametrize("variable", ["SPLITWAY_CACHE", "SPLITWAY_RATE_STORE"])
@pytest.mark.parametrize(("address", "words"), WRONG.items(), ids=WRONG)
def test_an_address_that_is_none_stops_the_start_with_the_variables_name(
    variable: str, address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, address)
    with pytest.raises(SetupError) as caught:
        read_environment(GatewaySettings)
    said = caught.value.detail
    assert said.startswith(f"{variable}=")
    assert words in said.partition(": ")[2]
    assert "\n" not in said


@pytest.mark.parametrize(
    "address",
    [
        "redis://user:secret@127.0.0.1:port/0",
        "redis://:se:cret@127.0.0.1:99999/0",
        "redis://user:sec#ret@127.0.0.1/0",
        "redis://127.0.0.1:6379/0?nonsense=1&password=secret",
        "redis://127.0.0.1:6379/0?nonsense=secret@",
    ],
)
def test_no_password_is_printed(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_CACHE", address)
    with pytest.raises(SetupError) as caught:
        read_environment(GatewaySettings)
    assert not any(part in caught.value.in_full for part in ("sec", "cret"))


@pytest.mark.parametrize(
    "address",
    [
        "redis://127.0.0.1",
        "redis://127.0.0.1:6379/15",
        "redis://[::1]:6379/0",
        "rediss://user:p%23ss@cache.example:6380/0?health_check_interval=10",
        "redis://cache:6379/?db=2",
    ],
)
def test_an_address_that_can_be_one_is_taken(address: str) -> None:
    settings = GatewaySettings(cache=address, rate_store=address)
    assert (settings.cache, settings.rate_store) == (address, address)
