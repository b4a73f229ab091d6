"""What went through in total and lately; the clock is a number."""

from __future__ import annotations

import pytest

from splitway.gateway.hop.events import AttemptEnded
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.gateway.observe.traffic import Flow


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
