"""By which names a process answers, and which requests of browsers are refused."""

from __future__ import annotations

import pytest

from splitway.http.hosts import host_rule, origin_rule

HOST = "127.0.0.1:8080"


@pytest.mark.parametrize(
    "header",
    [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1:8080",
        "[::1]:8080",
        "10.0.0.7",
        "[fe80::1]",
        "gateway",
        "feature-extractor:8081",
    ],
)
def test_on_loopback_names_without_a_dot_and_numbers_are_taken(header: str) -> None:
    rule = host_rule("", exposed=False)
    assert rule is not None
    assert rule(header.encode())


@pytest.mark.parametrize(
    "header",
    ["evil.example", "localhost.evil.example:8080", "127.0.0.1.evil.example", "evil.local", ":80", "a@127.0.0.1"],
)
def test_on_loopback_a_name_that_somebody_may_own_is_not(header: str) -> None:
    rule = host_rule("", exposed=False)
    assert rule is not None
    assert not rule(header.encode())


def test_names_that_are_set_are_taken_and_no_others() -> None:
    for exposed in (False, True):
        rule = host_rule("api.example, Other.example", exposed=exposed)
        assert rule is not None
        assert rule(b"API.example:443")
        assert rule(b"other.example")
        assert not rule(b"evil.example")


def test_beyond_loopback_any_name_is_taken_until_one_is_set() -> None:
    assert host_rule("", exposed=True) is None
    assert host_rule("*", exposed=False) is None


def is_foreign(method: str = "POST", named: str = "", host: str = HOST, **said: str) -> bool:
    rule = origin_rule(named, is_open=True)
    assert rule is not None
    headers = {"host": host, **{name.replace("_", "-"): value for name, value in said.items()}}
    return rule(method, {name.encode(): value.encode() for name, value in headers.items()})


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "http://127.0.0.1:8080", "sec_fetch_site": "same-origin"},
        {"origin": "https://ml.example", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"origin": "http://LOCALHOST", "host": "localhost"},
        {"origin": "http://localhost", "host": "localhost:80"},
        {"origin": "https://ml.example", "host": "ml.example"},
        {"origin": "https://ml.example", "host": "ml.example:443"},
        {"origin": "http://[::1]:8080", "host": "[::1]:8080"},
    ],
)
def test_its_own_pages_and_what_is_no_browser_are_taken(said: dict[str, str]) -> None:
    assert not is_foreign(**said)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "ANYTHING"])
@pytest.mark.parametrize(
    "said",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:8081"},
        {"origin": "http://127.0.0.1"},
        {"origin": "http://127.0.0.1:8080.evil.example"},
        {"origin": "http://evil.example", "host": "localhost:8080", "sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site"},
        {"origin": "http://127.0.0.1:8080", "sec_fetch_site": "cross-site"},
        {"origin": "http://localhost:3000", "host": "localhost:8080", "sec_fetch_site": "same-site"},
        {"sec_fetch_site": "anything new"},
    ],
)
def test_what_another_page_sends_is_refused(method: str, said: dict[str, str]) -> None:
    assert is_foreign(method, **said)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_is_taken(method: str) -> None:
    assert not is_foreign(method, origin="http://evil.example", sec_fetch_site="cross-site")


def test_pages_that_are_named_are_taken() -> None:
    named = "https://app.example, http://localhost:3000/"
    assert not is_foreign(named=named, origin="https://app.example", sec_fetch_site="cross-site")
    assert not is_foreign(named=named, origin="http://LOCALHOST:3000")
    assert is_foreign(named=named, origin="https://other.example")
    assert is_foreign(named=named, sec_fetch_site="cross-site")


def test_nobody_is_refused_where_all_may_or_show_who_they_are() -> None:
    assert origin_rule("*", is_open=True) is None
    assert origin_rule("", is_open=False) is None
