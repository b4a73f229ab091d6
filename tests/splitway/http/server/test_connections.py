from __future__ import annotations

from splitway.http.server.connections import ConnectionRoom, Connections


class Caller:
    """A connection that does nothing.

    Args:
        silent_since_s, stalled_since_s: since when, if it is.
    """

    address: str | None = None

    def __init__(self, silent_since_s: float | None = None, stalled_since_s: float | None = None) -> None:
        self.silent_since_s = silent_since_s
        self.stalled_since_s = stalled_since_s
        self.dropped = False
        self.says_close = False

    def look(self, now_s: float) -> None:
        pass

    def drop(self) -> None:
        self.dropped = True

    def say_close(self) -> None:
        self.says_close = True


A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def admit(connections: Connections, caller: Caller, host: str | None = A, descriptor: int = -1) -> int:
    """The status with which a connection is refused; 0 for one that is not."""
    refusal = connections.admit(caller, host, descriptor)
    return 0 if refusal is None else refusal.status


def fill(connections: Connections, host: str, *silent_since_s: float | None) -> list[Caller]:
    callers = [Caller(each) for each in silent_since_s]
    assert all(admit(connections, caller, host) == 0 for caller in callers)
    return callers


async def test_every_address_has_its_own_number() -> None:
    connections = Connections(ConnectionRoom(per_address=2))
    callers = [Caller() for _ in range(5)]
    assert [admit(connections, caller) for caller in callers[:3]] == [0, 0, 429]
    assert admit(connections, callers[3], B) == 0
    assert admit(connections, callers[4], None) == 0
    assert connections.addresses == {A: 2, B: 1}
    for caller in (*callers, *callers):
        connections.release(caller)
    assert connections.addresses == {}
    assert not len(connections)


async def test_without_a_limit_nobody_is_refused() -> None:
    connections = Connections(ConnectionRoom())
    assert [admit(connections, Caller(), descriptor=60_000) for _ in range(30)] == [0] * 30


async def test_only_some_are_told_why_they_are_turned_away() -> None:
    connections = Connections(ConnectionRoom(per_address=1))
    callers = [Caller() for _ in range(100)]
    assert sum(connections.may_be_told(caller) for caller in callers) == 64
    connections.release(callers[0])
    assert connections.may_be_told(Caller())


# Room for one more.


async def test_the_oldest_silent_one_of_the_address_that_has_most_makes_room() -> None:
    connections = Connections(ConnectionRoom(connections=6))
    few, many = fill(connections, A, 1.0, 2.0), fill(connections, B, 7.0, 5.0, None, 9.0)
    assert admit(connections, Caller(10.0), C) == 0
    assert [caller.dropped for caller in (*few, *many)] == [False, False, False, True, False, False]
    assert connections.addresses == {A: 2, B: 3, C: 1}
    assert connections.refused_by_reason["silent"] == 1


async def test_addresses_that_have_as_many_give_the_oldest() -> None:
    connections = Connections(ConnectionRoom(connections=4))
    first, second = fill(connections, A, 3.0, 4.0), fill(connections, B, 1.0, 9.0)
    assert admit(connections, Caller(10.0), C) == 0
    assert [caller.dropped for caller in (*first, *second)] == [False, False, True, False]


async def test_no_connection_at_work_makes_room() -> None:
    connections = Connections(ConnectionRoom(connections=3))
    at_work = fill(connections, A, None, None, None)
    assert admit(connections, Caller(10.0), B) == 503
    assert not any(caller.dropped for caller in at_work)


async def test_headers_that_take_their_time_make_room_where_nothing_is_silent() -> None:
    connections = Connections(ConnectionRoom(connections=3))
    callers = [Caller(stalled_since_s=5.0), Caller(stalled_since_s=4.0), Caller(8.0)]
    assert [admit(connections, caller) for caller in callers] == [0, 0, 0]
    assert admit(connections, Caller(9.0), B) == 0
    assert admit(connections, Caller(None), B) == 0
    assert admit(connections, Caller(None), B) == 0
    assert [caller.dropped for caller in callers] == [False, True, True]
    assert connections.refused_by_reason["stalled"] == 1


async def test_what_counts_is_the_descriptor_whatever_took_the_others() -> None:
    connections = Connections(ConnectionRoom(descriptor=100))
    (silent,) = fill(connections, A, 1.0)
    assert admit(connections, Caller(5.0), descriptor=99) == 0
    assert not silent.dropped
    assert admit(connections, Caller(6.0), descriptor=100) == 0
    assert silent.dropped


async def test_descriptors_that_are_about_to_be_free_are_not_asked_for_twice() -> None:
    """Those who came in one turn of the loop all have high numbers, before anything could be closed for the first."""
    connections = Connections(ConnectionRoom(descriptor=100))
    silent = fill(connections, A, *(float(second) for second in range(64)))
    burst = [admit(connections, Caller(99.0), B, descriptor) for descriptor in range(100, 108)]
    assert burst == [0] * 8
    dropped = [caller for caller in silent if caller.dropped]
    assert 8 <= len(dropped) <= 12
    assert dropped == silent[: len(dropped)]


async def test_an_address_with_its_share_makes_room_itself() -> None:
    connections = Connections(ConnectionRoom(share=2))
    first, other = fill(connections, A, 2.0, 3.0), fill(connections, B, 1.0)
    assert admit(connections, Caller()) == 0
    assert [caller.dropped for caller in (*first, *other)] == [True, False, False]
    assert admit(connections, Caller()) == 0
    assert admit(connections, Caller()) == 503
    assert admit(connections, Caller(), B) == 0


async def test_what_was_full_is_looked_at_again() -> None:
    """The clock's turn forgets it: a caller may have been answered meanwhile."""
    connections = Connections(ConnectionRoom(connections=1))
    (one,) = fill(connections, A, None)
    refused = Caller(5.0)
    assert admit(connections, refused, B) == 503
    connections.release(refused)
    one.silent_since_s = 6.0
    refused = Caller(7.0)
    assert admit(connections, refused, B) == 503
    connections.release(refused)
    connections._look()
    assert admit(connections, Caller(8.0), B) == 0


async def test_one_connection_becomes_another_and_is_counted_once() -> None:
    connections = Connections(ConnectionRoom(per_address=1))
    before, after = Caller(1.0), Caller(2.0)
    assert admit(connections, before) == 0
    connections.replace(before, after)
    assert connections.addresses == {A: 1}
    connections.release(before)
    assert (connections.addresses, len(connections)) == ({A: 1}, 1)
    connections.release(after)
    assert (connections.addresses, len(connections)) == ({}, 0)


async def test_draining_tells_all_that_are_open() -> None:
    connections = Connections(ConnectionRoom())
    callers = fill(connections, A, 1.0, None)
    connections.drain()
    assert connections.draining
    assert all(caller.says_close for caller in callers)
