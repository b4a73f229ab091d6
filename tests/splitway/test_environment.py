"""Secrets out of files, and errors that do not tell them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from splitway.environment import read_environment
from splitway.errors import SetupError
from splitway.runtime.settings import StageSettings

CANARY = "canary-7f3a"


def test_a_secret_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(f"{CANARY}\n")
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN_FILE", str(file))
    token = read_environment(StageSettings).service_token
    assert token == SecretStr(CANARY)
    assert CANARY not in repr(token)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe", b"x" * 70_000, None], ids=lambda content: str(content)[:12]
)
def test_what_is_no_secret_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SPLITWAY_ADMIN_KEY_FILE", str(file))
    with pytest.raises(SetupError, match="SPLITWAY_ADMIN_KEY_FILE"):
        read_environment(StageSettings)


def test_twice_is_a_contradiction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN", CANARY)
    monkeypatch.setenv("SPLITWAY_SERVICE_TOKEN_FILE", str(tmp_path))
    with pytest.raises(SetupError, match="both set") as caught:
        read_environment(StageSettings)
    assert CANARY not in caught.value.detail


@pytest.mark.parametrize("scheme", ["ftp://", "redis//", "redis:"])
def test_an_error_does_not_tell_what_stands_in_an_address(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    from splitway.gateway.settings import GatewaySettings

    monkeypatch.setenv("SPLITWAY_CACHE", f"{scheme}user:{CANARY}@host")
    with pytest.raises(SetupError, match="SPLITWAY_CACHE") as caught:
        read_environment(GatewaySettings)
    assert CANARY not in caught.value.detail
    assert caught.value.__cause__ is None


def test_what_is_no_json_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from splitway.gateway.settings import GatewaySettings

    monkeypatch.setenv("SPLITWAY_HEDGE", "many")
    with pytest.raises(SetupError, match="SPLITWAY_HEDGE cannot be read: it must be JSON"):
        read_environment(GatewaySettings)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("COST_PER_MINUTE", "abc", "it must be a whole number"),
        ("COST_PER_MINUTE", "-1", "it must be 0 or more"),
        ("ROLLBACK_WINDOW_S", "soon", "it must be a number"),
        ("ROLLBACK_ERROR_SHARE", "2", "it must be 1 or less"),
        ("BODY_TIMEOUT_MS", "0", "it must be more than 0"),
        ("AUTH", "open", "it must be 'auto' or 'open-to-everyone'"),
        (
            "RATE_STORE",
            "foo",
            "that is none of its values. Store of the callers' counters: `memory`, or the address of a Redis shared by "
            "several gateways",
        ),
        ("METRICS_FROM", "here", "'here' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splitway.gateway.settings import GatewaySettings

    monkeypatch.setenv(f"SPLITWAY_{name}", value)
    with pytest.raises(SetupError) as caught:
        read_environment(GatewaySettings)
    assert caught.value.detail == f"SPLITWAY_{name}={value}: {says}"


class _Kept(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SPLITWAY_", hide_input_in_errors=True)

    pin: SecretStr = Field(min_length=40)


def test_nor_is_a_secret_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_PIN", CANARY)
    with pytest.raises(SetupError, match=r"^SPLITWAY_PIN: ") as caught:
        read_environment(_Kept)
    assert CANARY not in caught.value.detail
