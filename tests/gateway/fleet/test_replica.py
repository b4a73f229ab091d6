"""What probes and calls make of one replica's state."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from splitway.gateway.fleet.replica import Replica, ReplicaState
from splitway.gateway.resilience.breaker import CircuitBreaker
from tests.gateway.resilience.support import Clock


class Seen:
    """A replica, and how often the others were told of a change."""

    def __init__(self, unreachable_after: int = 3) -> None:
        clock = Clock()
        breaker = CircuitBreaker(clock, random.Random(1).random)
        self.changes = 0
        self.replica = Replica("http://a", 1, breaker, unreachable_after, clock, self._changed)

    def _changed(self) -> None:
        self.changes += 1


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_ready_replica_is_missed_several_times_in_a_row_before_it_counts_as_unreachable(after: int) -> None:
    seen = Seen(unreachable_after=after)
    replica = seen.replica
    replica.is_ready()
    for _ in range(4):
        for _ in range(after - 1):
            replica.missed("no answer")
        assert replica.state is ReplicaState.READY
        assert replica.is_in_doubt == (after > 1)
        replica.got_through()
        assert not replica.is_in_doubt
    assert seen.changes == 1
    for _ in range(after):
        replica.missed("no answer")
    assert (replica.state, replica.reason, replica.may_be_tried) == (ReplicaState.UNREACHABLE, "no answer", True)
    assert seen.changes == 2


def test_one_that_was_never_heard_of_or_said_no_is_unreachable_at_once_and_not_tried() -> None:
    seen = Seen()
    seen.replica.missed("refused")
    assert (seen.replica.state, seen.replica.may_be_tried) == (ReplicaState.UNREACHABLE, False)
    seen.replica.is_ready()
    seen.replica.is_not(ReplicaState.NOT_READY, "drains")
    seen.replica.missed("refused")
    assert (seen.replica.state, seen.replica.may_be_tried) == (ReplicaState.UNREACHABLE, False)


def test_a_call_that_is_answered_makes_it_ready_again_unless_it_said_no() -> None:
    seen = Seen(unreachable_after=1)
    replica = seen.replica
    replica.is_ready()
    replica.missed("no answer")
    replica.got_through()
    states = [replica.state]
    replica.is_not(ReplicaState.NOT_READY, "drains")
    replica.got_through()
    assert [*states, replica.state] == [ReplicaState.READY, ReplicaState.NOT_READY]


def test_what_this_process_was_too_late_for_does_not_count_for_ever() -> None:
    seen = Seen(unreachable_after=3)
    replica = seen.replica
    replica.is_ready()
    for number in range(1, 9):
        assert replica.state is ReplicaState.READY
        replica.missed("no answer", excused=True)
        assert replica.is_in_doubt == (number < 8)
    assert replica.state is ReplicaState.UNREACHABLE
    replica.is_ready()
    replica.missed("no answer", excused=True)
    assert (replica.state, replica.misses) == (ReplicaState.READY, 0)


def test_those_who_route_are_told_when_a_lost_replica_says_no() -> None:
    seen = Seen(unreachable_after=1)
    seen.replica.is_ready()
    seen.replica.missed("no answer")
    assert seen.changes == 2
    seen.replica.is_not(ReplicaState.NOT_READY, "drains")
    assert seen.changes == 3


def test_another_process_in_its_place_is_a_restart() -> None:
    replica, began = Seen().replica, datetime(2026, 11, 30, 14, tzinfo=UTC)
    for started_at in (None, began, began, None, began, began + timedelta(minutes=1)):
        replica.runs_since(started_at)
    assert (replica.restarts, replica.started_at) == (1, began + timedelta(minutes=1))
    for started_at in (began, began + timedelta(minutes=1), began):  # two processes behind one address, by turns
        replica.runs_since(started_at)
    assert replica.restarts == 1
