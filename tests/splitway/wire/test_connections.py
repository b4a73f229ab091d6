from __future__ import annotations

import pytest

from splitway.wire.connections import Connections, counted_as


class Caller:
    """A connection that does nothing."""

    address: str | None = None

    def look(self, now_s: float) -> None:
        pass


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


async def test_every_address_has_its_own_number() -> None:
    connections = Connections(2)
    callers = [Caller() for _ in range(5)]
    admitted = [connections.admit(caller, "192.0.2.1") for caller in callers[:3]]
    assert [*admitted, connections.admit(callers[3], "192.0.2.2")] == [True, True, False, True]
    assert connections.admit(callers[4], None)
    for caller in (*callers, *callers):
        connections.release(caller)
    assert connections.addresses == {}
    assert not len(connections)


async def test_without_a_limit_nobody_is_counted() -> None:
    connections = Connections(0)
    callers = [Caller() for _ in range(3)]
    assert all(connections.admit(caller, "192.0.2.1") for caller in callers)
    assert connections.addresses == {}


async def test_only_some_are_told_why_they_are_turned_away() -> None:
    connections = Connections(1)
    callers = [Caller() for _ in range(100)]
    assert sum(connections.may_be_told(caller) for caller in callers) == 64
    connections.release(callers[0])
    assert connections.may_be_told(Caller())
