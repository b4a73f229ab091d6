"""Who gets the next attempt: against a reference choice, in virtual time."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from splitway.gateway.fleet.replica import Replica, ReplicaState
from splitway.gateway.fleet.replicas import ReplicaSet, StageConfig
from splitway.gateway.resilience.breaker import BreakerState, Permit
from tests.gateway.resilience.support import Clock

URLS = tuple(f"http://{name}" for name in "abcd")


class BalancerMachine(RuleBasedStateMachine):
    """Replicas come, go, fail and recover; the choice never falls on one that cannot serve."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.set = ReplicaSet(StageConfig("classifier", "head", URLS), self.clock, random.Random(1).random)
        self.members = set(URLS)
        self.ready: set[str] = set()
        self.forced_open: set[str] = set()
        self.out: list[tuple[Replica, Permit]] = []

    def _replica(self, url: str) -> Replica | None:
        return next((r for r in self.set.replicas if r.url == url), None)

    @rule(urls=st.sets(st.sampled_from(URLS)))
    def members_change(self, urls: set[str]) -> None:
        gone = self.members - urls
        self.set.update(sorted(urls))
        self.members = set(urls)
        self.ready -= gone
        self.forced_open -= gone

    @rule(url=st.sampled_from(URLS), ready=st.booleans())
    def probe(self, url: str, ready: bool) -> None:
        replica = self._replica(url)
        if replica is None:
            return
        if ready:
            replica.is_ready()
            self.ready.add(url)
        else:
            replica.is_not(ReplicaState.NOT_READY, "says no")
            self.ready.discard(url)

    @rule(url=st.sampled_from(URLS), forced=st.booleans())
    def force(self, url: str, forced: bool) -> None:
        replica = self._replica(url)
        if replica is not None:
            replica.breaker.force(BreakerState.FORCED_OPEN if forced else BreakerState.CLOSED)
            (self.forced_open.add if forced else self.forced_open.discard)(url)

    @rule(exclude=st.sets(st.sampled_from(URLS)), seconds=st.sampled_from([0.01, 0.1, 1.0]))
    def call(self, exclude: set[str], seconds: float) -> None:
        able = self.ready - self.forced_open
        choice = self.set.choose(exclude)
        assert (choice is None) == (not able)
        assert self.set.has_other(exclude) == bool(able - exclude)
        if choice is None:
            return
        replica, permit = choice
        assert replica.url in (able - exclude or able)
        permit.succeeded()
        replica.answered_in(seconds)
        self.clock.now_s += 0.01

    @invariant()
    def explains_itself(self) -> None:
        assert (self.set.why_not_ready() is None) == bool(self.ready)
        assert {r.url for r in self.set.replicas} == self.members


TestBalancer = BalancerMachine.TestCase
TestBalancer.settings = settings(max_examples=1000, stateful_step_count=30, deadline=None)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _ready_set(clock: Clock, count: int = 2) -> ReplicaSet:
    made = ReplicaSet(StageConfig("classifier", "head", URLS[:count]), clock, random.Random(7).random)
    for replica in made.replicas:
        replica.is_ready()
    clock.now_s += 60  # eased in
    return made


def _shares(chosen: ReplicaSet, calls: int = 2000) -> Counter[str]:
    urls: Counter[str] = Counter()
    for _ in range(calls):
        choice = chosen.choose()
        assert choice is not None
        choice[1].succeeded()
        urls[choice[0].url] += 1
    return urls


def test_equals_share_the_work(clock: Clock) -> None:
    chosen = _ready_set(clock, 4)
    for replica in chosen.replicas:
        replica.answered_in(0.01)
    assert all(300 < share < 700 for share in _shares(chosen).values())


def test_the_less_loaded_of_two_is_chosen(clock: Clock) -> None:
    chosen = _ready_set(clock)
    slow, fast = chosen.replicas
    slow.answered_in(0.1)
    fast.answered_in(0.01)
    assert _shares(chosen) == {fast.url: 2000}
    fast.in_flight = 10
    assert _shares(chosen)[slow.url] == 2000


def test_a_rise_in_latency_counts_at_once_and_a_fall_over_time(clock: Clock) -> None:
    (replica,) = _ready_set(clock, 1).replicas
    replica.answered_in(0.01)
    replica.answered_in(1.0)
    assert replica.latency_s == 1.0
    clock.now_s += 5.0
    replica.answered_in(0.0)
    assert replica.latency_s == pytest.approx(0.3679, abs=1e-3)


def test_a_replica_that_fails_half_its_calls_gets_few_and_is_found_out_when_it_recovers(clock: Clock) -> None:
    chosen = _ready_set(clock)
    bad, good = chosen.replicas
    for replica in (bad, good):
        replica.answered_in(0.01)
    for number in range(20):
        bad.ended(failed=number % 2 == 0)
        good.ended(failed=False)
    assert bad.load(0.01) > 10 * good.load(0.01)
    assert _shares(chosen)[good.url] == 2000
    clock.now_s += 30
    assert bad.load(0.01) < 1.2 * good.load(0.01)


def test_a_new_replica_is_eased_in(clock: Clock) -> None:
    chosen = _ready_set(clock)
    old, new = chosen.replicas
    new.is_not(ReplicaState.NOT_READY, "restarts")
    new.is_ready()
    for replica in (old, new):
        replica.answered_in(0.01)
    assert new.load(1.0) == pytest.approx(4 * old.load(1.0))
    clock.now_s += 5
    assert new.load(1.0) == pytest.approx(old.load(1.0))


def test_the_last_replica_is_not_shut_out_by_slowness_alone(clock: Clock) -> None:
    chosen = _ready_set(clock)
    first, second = chosen.replicas
    second.breaker.force(BreakerState.FORCED_OPEN)
    for _ in range(30):
        permit = first.breaker.acquire()
        assert permit is not None
        permit.succeeded(slow=True)
    second.breaker.force(BreakerState.CLOSED)
    for _ in range(30):
        permit = first.breaker.acquire()
        if permit is not None:
            permit.succeeded(slow=True)
    assert first.breaker.state is BreakerState.OPEN


def test_slow_is_judged_by_the_other_replicas(clock: Clock) -> None:
    chosen = _ready_set(clock)
    first, second = chosen.replicas
    second.answered_in(0.05)
    assert chosen.is_slow(first, 0.26)
    assert not chosen.is_slow(first, 0.24)
    assert not chosen.is_slow(second, 10.0), "the first has not been measured"
    second.answered_in(0.001)
    assert not chosen.is_slow(first, 0.05), "below the floor nothing is slow"


def test_where_none_is_ready_those_that_merely_cannot_be_reached_are_tried(clock: Clock) -> None:
    chosen = _ready_set(clock, 4)
    ready, lost, draining, new = chosen.replicas
    lost.is_not(ReplicaState.UNREACHABLE, "no answer")
    draining.is_not(ReplicaState.NOT_READY, "drains")
    draining.is_not(ReplicaState.UNREACHABLE, "is gone")
    chosen.update([*URLS[:3], "http://new"])
    chosen.replicas[3].missed("was never there")
    assert set(_shares(chosen, 100)) == {ready.url}, "as long as one is ready no other is tried"
    ready.is_not(ReplicaState.NOT_READY, "restarts")
    assert set(_shares(chosen, 100)) == {lost.url}
    assert chosen.choose(able={draining.url, new.url}) is None
    assert chosen.why_not_ready() == "1 not ready, 3 cannot be reached; 1 of them is tried anyway"
    lost.got_through()
    assert chosen.why_not_ready() is None
    draining.got_through()
    assert [replica.url for replica in chosen.ready] == [lost.url], "its own word counts for more than a late answer"


def test_one_that_no_ready_replica_can_stand_in_for_is_tried(clock: Clock) -> None:
    chosen = _ready_set(clock)
    first, _ = chosen.replicas
    first.is_not(ReplicaState.UNREACHABLE, "no answer")
    choice = chosen.choose(able={first.url})
    assert choice is not None
    assert choice[0] is first
    assert chosen.has_other((), {first.url})
    assert not chosen.has_other({first.url}, {first.url})


def test_what_is_known_of_a_replica_survives_an_update(clock: Clock) -> None:
    chosen = _ready_set(clock)
    first = chosen.replicas[0]
    chosen.update([URLS[0], URLS[2]])
    assert chosen.replicas[0] is first
    assert [r.url for r in chosen.ready] == [URLS[0]]
    chosen.update([])
    assert chosen.choose() is None
    assert chosen.why_not_ready() == "there is none"
    chosen.update(URLS[:2])
    again, second = chosen.replicas
    assert [first.number, again.number] == [1, 4], "a number is given once"
    again.is_not(ReplicaState.UNREACHABLE, "http://one cannot be reached")
    second.is_not(ReplicaState.NOT_READY, "lies in /etc/secret")
    assert chosen.why_not_ready() == "1 not ready, 1 cannot be reached", "none of them was ever ready"


def _answered(chosen: ReplicaSet, clock: Clock, seconds: float, per_s: float = 20.0) -> Counter[str]:
    """Who answered so long, when each answer takes 10 ms."""
    urls: Counter[str] = Counter()
    for _ in range(int(seconds * per_s)):
        choice = chosen.choose()
        assert choice is not None
        replica, permit = choice
        permit.succeeded(slow=chosen.is_slow(replica, 0.01))
        replica.answered_in(0.01)
        urls[replica.url] += 1
        clock.now_s += 1 / per_s
    return urls


@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
def test_a_latency_of_a_minute_is_forgotten_within_a_minute(clock: Clock, both: bool) -> None:
    """A pause of the gateway, or of a machine: nothing else takes so long, for an attempt may not."""
    chosen = _ready_set(clock)
    for replica in chosen.replicas:
        replica.answered_in(0.01)
    for replica in chosen.replicas if both else chosen.replicas[:1]:
        replica.answered_in(60.0)
    _answered(chosen, clock, 60)
    shares = _answered(chosen, clock, 10)
    assert min(shares[replica.url] for replica in chosen.replicas) > 50
    assert all(replica.breaker.state is BreakerState.CLOSED for replica in chosen.replicas)


def test_calls_that_failed_in_a_pause_are_forgotten_within_half_a_minute(clock: Clock) -> None:
    chosen = _ready_set(clock)
    for replica in chosen.replicas:
        replica.answered_in(0.01)
    for _ in range(60):
        chosen.replicas[0].ended(failed=True)
    _answered(chosen, clock, 30)
    shares = _answered(chosen, clock, 10)
    assert min(shares[replica.url] for replica in chosen.replicas) > 50


def test_a_fastest_replica_whose_latency_is_wrong_shuts_no_other_out_for_long(clock: Clock) -> None:
    """The second was measured on other work, and answers as slowly as the first since: 0.5 s against 0.01 s."""
    chosen = _ready_set(clock)
    chosen.replicas[1].answered_in(0.01)
    chosen.replicas[0].answered_in(0.01)
    states = []
    for _ in range(100):
        choice = chosen.choose()
        assert choice is not None
        replica, permit = choice
        permit.succeeded(slow=chosen.is_slow(replica, 0.5))
        replica.answered_in(0.5)
        clock.now_s += 0.05
        states.append({each.breaker.state for each in chosen.replicas})
    assert all(state == {BreakerState.CLOSED} for state in states[-50:])


def test_one_that_has_not_been_asked_since_it_was_slow_is_found_out(clock: Clock) -> None:
    chosen = _ready_set(clock)
    slow, fast = chosen.replicas
    fast.answered_in(0.01)
    slow.takes_at_least(2.0)
    assert slow.load(0.01) > 100 * fast.load(0.01)
    clock.now_s += 60
    assert slow.load(0.01) < 1.1 * fast.load(0.01)
