"""The retry budget against a ledger, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from splitway.gateway.resilience.budget import RetryBudget
from tests.gateway.resilience.support import Clock


class BudgetMachine(RuleBasedStateMachine):
    """Requests, retries and time in any order; every token is accounted for."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.budget = RetryBudget(self.clock)
        self.tokens = 10.0
        self.cap = 10.0
        self.requests = self.retries = 0
        self.started_s = self.clock.now_s

    @rule(times=st.integers(1, 50))
    def request(self, times: int) -> None:
        for _ in range(times):
            self.budget.first_attempt()
            self.tokens = min(self.cap, self.tokens + 0.1)
            self.requests += 1

    @rule(times=st.integers(1, 20))
    def retry(self, times: int) -> None:
        for _ in range(times):
            paid = self.budget.spend()
            assert paid == (self.tokens >= 1) or self.tokens == pytest.approx(1)
            if paid:
                self.tokens -= 1
                self.retries += 1

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 7.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.tokens = min(self.cap, self.tokens + seconds)

    @rule(in_flight=st.integers(0, 40))
    def raise_cap(self, in_flight: int) -> None:
        self.budget.raise_cap(in_flight)
        self.cap = max(10.0, in_flight)
        self.tokens = min(self.cap, self.tokens)

    @invariant()
    def agrees(self) -> None:
        assert self.budget.tokens == pytest.approx(self.tokens)
        assert 0 <= self.budget.tokens <= self.cap

    @invariant()
    def never_spends_more_than_it_earned(self) -> None:
        earned = 10 + 0.1 * self.requests + (self.clock.now_s - self.started_s)
        assert self.retries <= earned + 1e-6


TestBudget = BudgetMachine.TestCase
TestBudget.settings = settings(max_examples=1000, stateful_step_count=30, deadline=None)


SPENDING = st.tuples(
    st.sampled_from([0.0, 0.25, 7.0, 60.0]), st.sampled_from(["request", "retry", "give back"]), st.integers(0, 40)
)


@settings(max_examples=500, deadline=None)
@given(st.lists(SPENDING, max_size=30))
def test_looking_at_a_budget_changes_nothing_that_follows(steps: list[tuple[float, str, int]]) -> None:
    clock = Clock()
    looked_at, left_alone = RetryBudget(clock), RetryBudget(clock)
    for seconds, what, in_flight in steps:
        clock.now_s += seconds
        assert looked_at.tokens == looked_at.tokens
        for budget in (looked_at, left_alone):
            if what == "request":
                budget.first_attempt()
            elif what == "give back":
                budget.give_back()
            else:
                budget.raise_cap(in_flight)
        assert looked_at.spend() == left_alone.spend()
    assert looked_at.tokens == pytest.approx(left_alone.tokens)


def test_a_total_outage_is_not_amplified_beyond_its_bound() -> None:
    """60 requests a second for 20 s, each of which would retry twice if it might."""
    clock = Clock()
    budget = RetryBudget(clock)
    calls = 0
    for _ in range(1200):
        clock.now_s += 1 / 60
        budget.first_attempt()
        calls += 1 + sum(budget.spend() for _ in range(2))
    assert calls <= 1.15 * 1200


def test_a_token_can_be_given_back_and_none_beyond_the_cap() -> None:
    budget = RetryBudget(Clock())
    assert budget.spend()
    assert budget.tokens == 9
    for _ in range(3):
        budget.give_back()
    assert budget.tokens == 10


def test_a_budget_that_an_outage_or_a_pause_has_emptied_pays_again_within_a_second() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    while budget.spend():
        pass
    clock.now_s += 1
    assert budget.spend()
    assert not budget.spend()
    clock.now_s += 60
    assert budget.tokens == 10, "a pause earns no more than there is room for"
    budget.raise_cap(100)
    clock.now_s += 100
    budget.raise_cap(1)
    assert budget.tokens == 10
