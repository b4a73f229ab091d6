"""What went through in total and lately; the clock is a number."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from splitway.gateway.hop.events import AttemptEnded
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.gateway.observe.traffic import Calls, Flow, last_step_ended


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_yet(clock: Clock) -> None:
    assert Flow(clock).recent() == {
        "window_s": 1.0,
        "ended": 0,
        "failed": 0,
        "rate_per_s": 0.0,
        "p50_ms": None,
        "p99_ms": None,
    }


def test_whole_seconds_count_and_old_ones_are_forgotten(clock: Clock) -> None:
    flow = Flow(clock)
    for second in range(30):
        clock.now_s = 100.0 + second
        for number in range(20):
            flow.add("unavailable" if number == 0 else "invalid_input" if number == 1 else "ok", 0.01)
    recent = flow.recent()
    assert (recent["window_s"], recent["ended"], recent["rate_per_s"], recent["failed"]) == (10.0, 200, 20.0, 10)
    assert flow.totals == {"ok": 540, "invalid_input": 30, "unavailable": 30}
    clock.now_s = 200.0
    assert flow.recent()["ended"] == 0
    assert flow.totals.total() == 600


def test_quantiles_are_within_five_percent(clock: Clock) -> None:
    flow = Flow(clock)
    for number in range(1, 1001):
        flow.add("ok", number / 1000)
    clock.now_s += 1
    recent = flow.recent()
    assert recent["p50_ms"] == pytest.approx(500, rel=0.05)
    assert recent["p99_ms"] == pytest.approx(990, rel=0.05)


def test_calls_are_kept_by_stage() -> None:
    telemetry = GatewayTelemetry(("feature_extractor", "body_1", "classifier"), 0, 0.0)
    for stage in ("feature_extractor", "classifier", "classifier"):
        telemetry.on_event(
            AttemptEnded(stage, "http://a", "ok", 0.01, is_hedge=False, because="", sent_bytes=1, received_bytes=1)
        )
    telemetry.settle()
    assert telemetry.calls["classifier"].totals == {"ok": 2}
    assert telemetry.calls["body_1"].recent()["ended"] == 0


def test_flows_that_began_together_are_over_the_same_time(clock: Clock) -> None:
    flows = [Flow(clock), Flow(clock)]
    flows[0].add("ok", 0.01)
    clock.now_s += 5
    windows = {flow.recent()["window_s"] for flow in flows}
    assert windows == {5.0}  # rates that stand beside each other are over the same time


def test_a_history_has_sixty_steps_of_which_those_before_the_start_are_unknown(clock: Clock) -> None:
    clock.now_s = 1003.0
    flow = Flow(clock)
    for second in range(1003, 1043):
        clock.now_s = second + 0.5
        flow.add("unavailable" if second % 10 == 3 else "ok", 0.2)
    clock.now_s = 1044.0
    history = flow.history(clock.now_s)
    assert {len(values) for values in history.values()} == {60}
    assert history["ended"][-9:] == [None, 2, 5, 5, 5, 5, 5, 5, 5]  # from 1000 to 1040; what began then is not over
    assert history["failed"][-9:] == [None, 1, 0, 1, 0, 1, 0, 1, 0]
    assert history["p50_ms"][-1] == pytest.approx(200, rel=0.05)
    assert history["in_flight"][-1] == pytest.approx(0.2, rel=0.05)
    clock.now_s += 60
    later = flow.history(clock.now_s)
    assert later["ended"][-20:] == [2, 5, 5, 5, 5, 5, 5, 5, 3, *[0] * 11]
    assert later["p99_ms"][-1] is None


def test_what_is_kept_is_bounded(clock: Clock) -> None:
    flow = Flow(clock)
    for _ in range(1000):
        clock.now_s += 1
        flow.add("ok", clock.now_s / 1000)
    assert len(flow.seconds) <= 11
    clock.now_s += 3600
    assert flow.history(clock.now_s)["ended"] == [0] * 60


def test_replicas_that_come_and_go_leave_their_calls_to_the_stage(clock: Clock) -> None:
    calls = Calls(clock)
    for number in range(500):
        clock.now_s += 1
        calls.expect(f"http://{number}")
        calls.add(f"http://{number}", "ok", 0.01)
        calls.forget(f"http://{number}")
        calls.add(f"http://{number}", "ok", 0.01)  # it was still answering
    assert calls.replicas == {}
    assert calls.totals == {"ok": 1000}
    assert calls.history(clock.now_s)["ended"] == [10] * 60
    clock.now_s += 1
    assert calls.recent()["ended"] == 20


def test_what_a_replica_forgets_is_in_the_history_of_its_stage(clock: Clock) -> None:
    """Nothing reads meanwhile; one replica goes on, another is idle and then goes."""
    calls = Calls(clock)
    for replica in ("http://a", "http://b"):
        calls.expect(replica)
    for second in range(60):
        clock.now_s += 1
        calls.add("http://a", "ok", 0.01)
        if second < 20:
            calls.add("http://b", "ok", 0.01)
    calls.forget("http://b")
    assert calls.history(clock.now_s)["ended"][-12:] == [8, *[10] * 3, 6, *[5] * 7]


def test_a_stage_is_all_its_replicas(clock: Clock) -> None:
    calls = Calls(clock)
    for replica, seconds in (("http://a", 0.1), ("http://b", 1.0)):
        calls.expect(replica)
        calls.add(replica, "ok", seconds)
    clock.now_s += 6
    assert calls.history(clock.now_s)["p99_ms"][-1] == pytest.approx(1000, rel=0.05)
    assert calls.replicas["http://a"].history(clock.now_s)["p99_ms"][-1] == pytest.approx(100, rel=0.05)
    assert calls.recent()["ended"] == 2


def test_what_the_last_step_is_of() -> None:
    until = datetime.fromisoformat(last_step_ended(1003.0))
    assert (datetime.now(UTC) - until).total_seconds() == pytest.approx(3, abs=1.5)
