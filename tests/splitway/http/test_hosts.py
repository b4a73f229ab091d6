"""By which names a process answers."""

from __future__ import annotations

import pytest

from splitway.http.hosts import host_rule


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
