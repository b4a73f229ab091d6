"""Our counters and histograms read as prometheus-client's own do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from splitway.telemetry.families import SECONDS, Families


@pytest.fixture(autouse=True)
def no_created_series() -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]


@given(st.lists(st.tuples(st.sampled_from(["a", 'b"\\']), st.floats(0, 20) | st.sampled_from(SECONDS))))
def test_they_read_as_the_librarys_own(events: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    make = Families(ours, "splitway")
    counts, times = make.counter("calls_total", "Calls.", "stage"), make.seconds("seconds", "Time.", "stage")
    count = Counter("splitway_calls_total", "Calls.", ["stage"], registry=theirs)
    time = Histogram("splitway_seconds", "Time.", ["stage"], buckets=SECONDS, registry=theirs)
    for stage, seconds in events:
        counts[stage,].inc(2)
        times[stage,].observe(seconds)
        count.labels(stage).inc(2)
        time.labels(stage).observe(seconds)
    assert generate_latest(ours) == generate_latest(theirs)


def test_what_is_expected_is_there_with_0_and_what_is_gone_is_not() -> None:
    registry = CollectorRegistry()
    make = Families(registry, "splitway")
    calls, alone = make.counter("calls_total", "Calls.", "stage", "outcome"), make.seconds("wait", "Waits.")
    calls.begin([("classifier", "ok"), ("body_1", "ok")])
    alone.begin([()])
    assert registry.get_sample_value("splitway_calls_total", {"stage": "classifier", "outcome": "ok"}) == 0
    assert registry.get_sample_value("splitway_wait_count") == 0
    calls.drop(("body_1",))
    assert registry.get_sample_value("splitway_calls_total", {"stage": "body_1", "outcome": "ok"}) is None
    assert registry.get_sample_value("splitway_calls_total", {"stage": "classifier", "outcome": "ok"}) == 0


def test_a_name_is_there_once() -> None:
    make = Families(CollectorRegistry(), "splitway")
    make.counter("calls_total", "Calls.")
    with pytest.raises(ValueError, match="Duplicated"):
        make.counter("calls_total", "Calls.")
