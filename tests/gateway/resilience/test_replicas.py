from __future__ import annotations

import pytest

from gateway.resilience.replicas import Replica, ReplicaSet, ReplicaState


@pytest.fixture
def replicas() -> list[Replica]:
    made = [Replica(f"http://{name}") for name in "abc"]
    for replica in made:
        replica.is_ready()
    return made


def test_equals_get_their_turn(replicas: list[Replica]) -> None:
    chosen = ReplicaSet(replicas)
    urls = [replica.url for _ in range(6) if (replica := chosen.choose())]
    assert sorted(urls) == sorted([r.url for r in replicas] * 2)


def test_the_one_with_the_least_in_flight_is_chosen(replicas: list[Replica]) -> None:
    chosen = ReplicaSet(replicas)
    with replicas[0].borrowed(), replicas[2].borrowed():
        assert chosen.choose() is replicas[1]
    assert [r.in_flight for r in replicas] == [0, 0, 0]


def test_only_ready_ones_are_chosen_and_the_others_say_why(replicas: list[Replica]) -> None:
    chosen = ReplicaSet(replicas)
    replicas[0].is_not(ReplicaState.UNREACHABLE, "cannot be reached")
    replicas[1].is_not(ReplicaState.NOT_READY, "is warming up")
    assert all(chosen.choose() is replicas[2] for _ in range(4))
    assert chosen.why_not_ready() is None
    replicas[2].is_not(ReplicaState.NOT_READY, "is draining")
    assert chosen.choose() is None
    assert chosen.why_not_ready() == "http://a cannot be reached; http://b is warming up; http://c is draining"


def test_latency_is_a_moving_average(replicas: list[Replica]) -> None:
    replicas[0].answered_in(1.0)
    replicas[0].answered_in(2.0)
    assert replicas[0].latency_s == pytest.approx(1.1)
