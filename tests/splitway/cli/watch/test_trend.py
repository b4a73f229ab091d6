"""Counts read now and then become rates."""

from __future__ import annotations

import pytest

from splitway.cli.watch.trend import Trend, Trends, spark_line
from splitway.schemas.pipeline import PipelineStatus
from tests.splitway.cli.pipelines import pipeline, replica, stage


def _trend(*readings: tuple[float, int]) -> Trend:
    trend = Trend()
    for at_s, count in readings:
        trend.add(at_s, count)
    return trend


@pytest.mark.parametrize(
    ("readings", "rate"),
    [
        ([], None),
        ([(0, 5)], None),
        ([(0, 5), (0, 6)], None),
        ([(0, 0), (2, 30)], 15.0),
        ([(0, 0), (50, 1000), (51, 1001), (59, 1019), (60, 1020)], 2.0),
        ([(0, 0), (30, 60)], 2.0),
    ],
    ids=["nothing", "one", "at-once", "two", "last-ten-seconds", "far-apart"],
)
def test_the_rate_is_that_of_the_last_ten_seconds(readings: list[tuple[float, int]], rate: float | None) -> None:
    assert _trend(*readings).rate_per_s == rate


def test_a_count_that_falls_begins_again() -> None:
    trend = _trend((0, 1000), (1, 1010), (2, 3), (3, 8))
    assert trend.rate_per_s == 5.0
    assert trend.rates(60)[-1] == 5.0
    assert trend.rates(60)[-2] is None


def test_the_last_minute_is_cut_into_equal_parts_and_blank_before_the_first_reading() -> None:
    rates = _trend((70, 0), (90, 200), (100, 200)).rates(6)
    assert rates == [None, None, None, pytest.approx(10), pytest.approx(10), 0]


def test_readings_of_more_than_a_minute_ago_are_forgotten_but_for_the_one_that_leads_in() -> None:
    trend = _trend(*((float(second), second) for second in range(200)))
    assert trend.rates(6) == [pytest.approx(1.0)] * 6
    assert len(trend._seen) <= 62


@pytest.mark.parametrize(
    ("rates", "line"),
    [([None, 0.0, 5.0, 10.0], " ▁▅█"), ([0.0, 0.0], "▁▁"), ([None], " ")],
    ids=["grows", "idle", "unknown"],
)
def test_a_spark_line_is_as_high_as_the_rate_beside_the_highest(rates: list[float | None], line: str) -> None:
    assert spark_line(rates) == line


def test_replicas_that_are_gone_are_forgotten_and_the_others_go_on() -> None:
    trends = Trends()
    both = pipeline(stage("s", replica(1, attempts={"ok": 5}), replica(2)))
    one = pipeline(stage("s", replica(1, attempts={"ok": 25})))
    for at_s, answer in ((0.0, both), (2.0, one)):
        trends.add(at_s, PipelineStatus.model_validate(answer))
    assert list(trends.replicas) == [("s", "http://127.0.0.1:1")]
    assert trends.replicas["s", "http://127.0.0.1:1"].rate_per_s == 10.0
