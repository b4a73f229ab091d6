"""What happens to one replica does not happen to the caller, and retries make nothing worse.

Every answer is checked against the oracle's for its own picture, and the gateway's account of its attempts against what
the stages saw. After each scenario one healthy request succeeds, and no task, socket or call is left over.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from testkit.chaos import arena
from testkit.chaos.arena import STAGES, Gateway, Replicas
from testkit.chaos.history import History, Pictures
from testkit.chaos.load import ask_gateway, steady_load
from testkit.chaos.proxy import Toxics
from testkit.chaos.run import Outcome, run_scenario
from testkit.chaos.scenarios import OUTAGE_S, SCENARIOS, Scenario, bad_line
from testkit.support import until

LEFT_OVER = ("Traceback", "never retrieved", "was destroyed", "never awaited", "Unclosed", "ResourceWarning")


class Stand:
    """Runs scenarios and checks what must hold after every one."""

    def __init__(self, replicas: Replicas, gateway: Gateway, pictures: Pictures) -> None:
        self.replicas = replicas
        self.gateway = gateway
        self.pictures = pictures
        self.ask = ask_gateway(gateway.url)

    def run(self, scenario: Scenario) -> Outcome:
        outcome = run_scenario(scenario, self.replicas, self.ask, self.pictures)
        for entry in outcome.history.entries:
            if entry.status == 200:
                self.pictures.check(entry)
        self._attempts_add_up(outcome)
        after = asyncio.run(steady_load(self.ask, self.pictures, rate=1, seconds=1))
        assert after.success == 1, after.failures()
        self._nothing_is_left()
        return outcome

    def steady(self, rate: float, seconds: float) -> History:
        return asyncio.run(steady_load(self.ask, self.pictures, rate=rate, seconds=seconds))

    def _attempts_add_up(self, outcome: Outcome) -> None:
        """Whatever reached a stage was counted as an attempt, and the other way round unless the line was cut."""
        entries = outcome.history.entries
        metric = self.gateway.metric
        until(lambda: metric("splitway_gateway_requests_total") == len(entries), 5)
        assert metric("splitway_gateway_requests_total", outcome="ok") == outcome.history.statuses[200]
        assert metric("splitway_gateway_attempts_total", stage=STAGES[0], outcome="ok") <= len(entries)
        for stage in STAGES:
            attempts = metric("splitway_gateway_attempts_total", stage=stage)
            broken = metric("splitway_gateway_attempts_total", stage=stage, outcome="unavailable")
            assert attempts - broken <= outcome.inferences[stage] <= attempts, stage
            retries = metric("splitway_gateway_retries_total", stage=stage)
            assert attempts - retries <= len(entries), stage
            assert metric("splitway_gateway_attempts_total", stage=stage, outcome="ok") >= outcome.history.statuses[200]
        seen = sum(entry.attempts > 1 for entry in entries)
        assert seen <= sum(metric("splitway_gateway_retries_total", stage=stage) for stage in STAGES)

    def _nothing_is_left(self) -> None:
        until(lambda: self.gateway.metric("splitway_gateway_in_flight") == 0, 5)
        assert self.gateway.metric("splitway_gateway_replica_in_flight") == 0
        until(lambda: self.gateway.held()["tasks"] <= self.gateway.idle["tasks"], 5)
        until(lambda: self.gateway.held()["abandoned"] == 0, 5)
        log = self.gateway.log.read_text()
        assert not [word for word in LEFT_OVER if word in log], log[-3000:]


@pytest.fixture
def stand(replicas: Replicas, gateway: Gateway, pictures: Pictures) -> Stand:
    return Stand(replicas, gateway, pictures)


MARKS = {
    "SIGTERM, extractor": 1.0,
    "SIGTERM, classifier": 1.0,
    "SIGKILL, extractor": 0.995,
    "SIGKILL, classifier": 0.995,
    "SIGSTOP, extractor": 0.99,
    "network cut": 0.99,
    "reset_peer": 0.99,
    "timeout": 0.99,
    "limit_data": 0.99,
    "slicer": 0.99,
    "bandwidth": 0.99,
    "latency": 0.99,
    "garbage": 0.99,
    "half a tensor": 0.99,
}


@pytest.mark.parametrize("name", MARKS)
def test_one_replica_in_trouble(stand: Stand, name: str) -> None:
    history = stand.run(SCENARIOS[name]).history
    assert history.success >= MARKS[name], history.failures()


def test_one_replica_that_refuses_three_calls_in_five(stand: Stand) -> None:
    outcome = stand.run(SCENARIOS["one replica refuses 60 %"])
    assert outcome.history.success >= 0.99, outcome.history.failures()
    assert outcome.load("classifier") <= 1.15


def test_both_replicas_refuse_three_calls_in_ten(stand: Stand) -> None:
    """The budget buys 0.1 retry a request, one a second and ten to begin with; seven in ten of them succeed."""
    scenario = SCENARIOS["both replicas refuse 30 %"]
    outcome = stand.run(scenario)
    assert outcome.load("classifier") <= 1.15
    troubled = outcome.troubled
    requests = len(troubled.entries)
    bought = (0.1 * requests + (scenario.seconds - scenario.begins_s) + 10) / requests
    deviation = (0.7 * 0.3 / requests) ** 0.5
    print(f"success {troubled.success:.3f}, {0.7 * (1 + bought):.3f} expected, three attempts each: {1 - 0.3**3:.3f}")
    assert troubled.success >= 0.7 * (1 + bought) - 3 * deviation, troubled.failures()


@pytest.mark.parametrize("name", ["outage of 20 s, refused", "outage of 20 s, cut"])
def test_a_total_outage_is_not_made_worse_and_ends(stand: Stand, name: str) -> None:
    """Callers are told at once; normal again within twice the time for which a breaker is open where none serves."""
    outcome = stand.run(SCENARIOS[name])
    assert set(outcome.history.statuses) <= {200, 503}, outcome.history.failures()
    assert outcome.load("classifier") <= 1.15
    assert outcome.troubled.latency_s(0.5, status=503) < 0.1
    over_s = outcome.scenario.begins_s + OUTAGE_S
    late = [entry.due_s - over_s for entry in outcome.history.between(over_s).entries if entry.status != 200]
    took_s = max(late, default=0.0)
    print(f"normal again after {took_s:.1f} s")
    assert took_s <= 2 * 1.2


def test_a_replica_ten_times_slower_is_left_behind(stand: Stand) -> None:
    """Ten seconds on, the 99th percentile is at most twice the healthy one."""
    healthy = stand.steady(25, 12)
    (extractor, _) = stand.gateway.stages
    usual_s = min(replica["latency_ms"] for replica in extractor["replicas"]) / 1000
    slow = bad_line("feature_extractor", Toxics(latency_s=9 * usual_s))
    with slow(stand.replicas):
        history = stand.steady(25, 25)
    assert history.success == 1, history.failures()
    before_s, after_s = healthy.latency_s(0.99), history.between(10).latency_s(0.99)
    print(f"a call takes {usual_s * 1000:.0f} ms; p99 {before_s * 1000:.0f} ms healthy, then {after_s * 1000:.0f} ms")
    assert after_s <= 2 * before_s


def test_idle_connections_are_let_go(replicas: Replicas, pictures: Pictures, tmp_path: Path) -> None:
    """Fifteen seconds after the last call none is left but the one that asks. Probes are rare here."""
    with arena.gateway(replicas.urls, tmp_path / "log", SPLITWAY_PROBE_INTERVAL_MS="60000") as gateway:
        history = asyncio.run(steady_load(ask_gateway(gateway.url), pictures, rate=50, seconds=3))
        assert history.success == 1, history.failures()
        assert gateway.held()["connected"] > 1
        until(lambda: gateway.held()["connected"] <= 1, 25)
