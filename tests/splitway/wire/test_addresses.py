"""Which addresses are one caller's."""

from __future__ import annotations

import pytest

from splitway.wire.addresses import address_of, counted_as


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_whose_connections_are_counted_together(host: str, counted: str) -> None:
    assert counted_as(host) == counted


def test_what_is_no_address_is_counted_as_it_is() -> None:
    assert counted_as("unix:/run/splitway") == "unix:/run/splitway"


def test_a_scope_without_a_client_is_nobodys() -> None:
    assert address_of({}) == ""
    assert address_of({"client": ("2001:db8:1:2::9", 1)}) == "2001:db8:1:2::/64"
