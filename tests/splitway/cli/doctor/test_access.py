"""Who may call: what doctor says of keys, certificates and gateways that ask nobody."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from splitway.cli.doctor.access import access, api_key, identity, is_reached_from_elsewhere, keys
from splitway.cli.doctor.finding import Finding
from splitway.cli.doctor.running import Running
from splitway.cli.operate.keys import create
from splitway.security.identities.certificates import Certificates
from tests.splitway.cli.pipelines import URL, look, pipeline

NOW = datetime.now(UTC)
KEY = "splitway_0123456789_abc"


def _levels(found: list[Finding]) -> list[str]:
    return [result.level for result in found]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the user's key that nobody else can read."""
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def _api_key(url: str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[Finding]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return list(api_key(url, variables))


def test_a_key_that_is_kept_and_sent_well_is_right(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (URL, "https://gateway.example"):
        found = _api_key(url, monkeypatch, SPLITWAY_API_KEY_FILE=str(file))
        assert _levels(found) == ["ok"]
        assert KEY not in str(found)


def test_without_a_key_nothing_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _api_key("http://gateway:8080", monkeypatch) == []


def test_a_key_that_others_can_read_is_a_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.chmod(0o644)
    wrong, right = _api_key(URL, monkeypatch, SPLITWAY_API_KEY_FILE=str(file))
    assert (wrong.level, wrong.do, right.level) == ("warning", f"chmod 600 {file}", "ok")


def test_a_key_that_goes_over_the_network_as_it_is_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, _ = _api_key("http://gateway:8080", monkeypatch, SPLITWAY_API_KEY=KEY)
    assert wrong.level == "warning"
    assert "anyone on the network can read it" in wrong.says


def test_a_key_that_cannot_be_sent_is_a_problem_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = _api_key(URL, monkeypatch, SPLITWAY_API_KEY=f"{KEY} and more")
    assert result.level == "problem"
    assert KEY not in result.says + result.do


def _keys(file: Path, now: datetime = NOW) -> list[Finding]:
    return keys({"SPLITWAY_KEYS_FILE": str(file)}, now)


def test_keys_that_are_good_for_long_are_right(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create(file, "one", ["infer"], "90d")
    create(file, "other", ["metrics"], "never")
    (result,) = _keys(file)
    assert result.level == "ok"
    assert result.says == f"2 keys in {file} are valid"
    assert keys({}, NOW) == []


def test_keys_that_have_expired_or_soon_will_are_named(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    _, gone = create(file, "yesterday's", ["infer"], "1h")
    _, going = create(file, "this week's", ["infer"], "5d")
    create(file, "the others'", ["infer"], "90d")
    expired, soon, right = _keys(file, NOW + timedelta(hours=2))
    assert (expired.level, expired.says) == ("warning", f"{gone.id} (yesterday's) has expired")
    assert (soon.level, soon.says) == ("warning", f"{going.id} (this week's) will expire within 14 days")
    assert right.says == f"2 keys in {file} are valid"


def test_a_file_without_a_good_key_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create(file, "x", ["infer"], "1h")
    *_, result = _keys(file, NOW + timedelta(days=1))
    assert result.level == "warning"
    assert result.says == f"no key in {file} is valid: every request is refused"


def test_keys_that_others_can_write_are_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create(file, "x", ["infer"], "never")
    file.chmod(0o666)
    wrong, _ = _keys(file)
    assert (wrong.level, wrong.do) == ("warning", f"chmod 600 {file}")


@pytest.mark.parametrize("content", [None, "{}}", '{"format": 2}'])
def test_keys_that_cannot_be_read_are_a_problem(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_text(content)
    assert _levels(_keys(file)) == ["problem"]


@pytest.mark.parametrize(
    ("days", "level", "says"),
    [
        (0, "ok", "the certificate of classifier is valid until "),
        (6, "warning", "the certificate of classifier is valid until "),
        (8, "problem", "the certificate of classifier has expired"),
    ],
)
def test_a_certificate_is_told_of_in_time(days: int, level: str, says: str, tmp_path: Path) -> None:
    Certificates(tmp_path, lambda: NOW, lambda: None).create(["classifier"], timedelta(days=7))
    result = identity({"SPLITWAY_IDENTITY": str(tmp_path / "classifier")}, NOW + timedelta(days=days))
    assert result is not None
    assert result.level == level
    assert result.says.startswith(says)


def test_a_folder_without_a_certificate_is_a_problem_and_none_is_none(tmp_path: Path) -> None:
    result = identity({"SPLITWAY_IDENTITY": str(tmp_path)}, NOW)
    assert result is not None
    assert result.level == "problem"
    assert identity({}, NOW) is None


def _running(url: str = URL, *, asks: bool = False) -> Running:
    answer = look(pipeline())
    return Running(type(answer)(url, answer.at, 0.0, {}, answer.status), True, [], asks_for_key=asks)


@pytest.mark.parametrize(
    ("running", "elsewhere", "level"),
    [
        (_running(), False, "ok"),
        (_running(), True, "warning"),
        (_running("http://gateway:8080"), False, "warning"),
        (_running("http://gateway", asks=True), True, "ok"),
    ],
    ids=["loopback", "local-but-open", "remote", "asks"],
)
def test_a_gateway_that_strangers_reach_and_that_asks_nobody_is_a_warning(
    running: Running, elsewhere: bool, level: str
) -> None:
    result = access(running, lambda _: elsewhere)
    assert result is not None
    assert result.level == level


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
