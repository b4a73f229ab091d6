from __future__ import annotations

import pytest

from splitway.environment import read_environment
from splitway.errors import SetupError
from splitway.gateway.settings import GatewaySettings


def test_addresses_are_read_in_order() -> None:
    settings = GatewaySettings(feature_extractor="http://a:1/, http://b:2", classifier="http://c")
    assert [(s.name, s.urls) for s in settings.chain] == [
        ("feature_extractor", ("http://a:1", "http://b:2")),
        ("classifier", ("http://c",)),
    ]


@pytest.mark.parametrize("text", ["", " , ", "a:1", "ftp://a", "http://", "http://[::1", "http://a:99999"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match="SPLITWAY_CLASSIFIER"):
        _ = GatewaySettings(classifier=text).chain


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_MAX_BODY_BYTES", "lots")
    with pytest.raises(SetupError, match="SPLITWAY_MAX_BODY_BYTES=lots"):
        read_environment(GatewaySettings)


def test_bodies_stand_between_extractor_and_heads_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_BODIES", '{"body_2": "http://b", "body_1": "http://c,http://d"}')
    monkeypatch.setenv("SPLITWAY_HEDGE", '{"body_1": 0.9}')
    settings = read_environment(GatewaySettings)
    assert [(s.name, s.role) for s in settings.chain] == [
        ("feature_extractor", "extractor"),
        ("body_2", "body"),
        ("body_1", "body"),
        ("classifier", "head"),
    ]
    assert settings.chain[2].urls == ("http://c", "http://d")


@pytest.mark.parametrize("name", ["classifier", "Body", "body/1", ""])
def test_a_body_needs_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("SPLITWAY_BODIES", f'{{"{name}": "http://b"}}')
    with pytest.raises(SetupError, match="SPLITWAY_BODIES"):
        read_environment(GatewaySettings)


def test_only_stages_of_the_chain_are_hedged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_HEDGE", '{"body_1": 0.9}')
    with pytest.raises(SetupError, match="no stage body_1"):
        read_environment(GatewaySettings)


@pytest.mark.parametrize(
    ("identity", "url", "says"),
    [
        (None, "https://a:1", "set SPLITWAY_IDENTITY"),
        (None, "HTTPS://a:1", "set SPLITWAY_IDENTITY"),
        ("certs/gateway", "http://a:1", "use https"),
        ("certs/gateway", "https://a:1,HTTP://b:2", "use https"),
    ],
)
def test_stages_are_called_over_tls_by_a_gateway_with_an_identity_and_by_no_other(
    identity: str | None, url: str, says: str
) -> None:
    settings = GatewaySettings.model_validate({"classifier": url, "feature_extractor": url, "identity": identity})
    with pytest.raises(SetupError, match=says):
        _ = settings.chain


def test_with_an_identity_addresses_are_https() -> None:
    settings = GatewaySettings.model_validate(
        {"classifier": "https://a:1,https://b", "feature_extractor": "https://c", "identity": "certs/gateway"}
    )
    assert settings.chain[-1].urls == ("https://a:1", "https://b")


WRONG_REDIS = {
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
@pytest.mark.parametrize(("address", "words"), WRONG_REDIS.items(), ids=WRONG_REDIS)
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
