"""Addresses of one subscriber are counted together."""

from __future__ import annotations

import pytest

from splitway.security.networks import subscriber_of


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
    assert subscriber_of(host) == counted


def test_what_is_no_address_stays_as_it_is() -> None:
    assert subscriber_of("a:name") == "a:name"
