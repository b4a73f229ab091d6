"""The parts of a request add up to its caller's wait."""

from __future__ import annotations

from typing import Any

import pytest

from splitway.cli.bench.anatomy import CLIENT, OTHER, Anatomy, Reading, Spread
from splitway.errors import SetupError
from splitway.names import GATEWAY

EXTRACTOR_MS = {"queue": 0.5, "decode": 2.0, "compute": 4.0, "network": 1.0, "total": 8.0}
HEAD_MS = {"queue": 0.0, "decode": 0.0, "compute": 0.25, "network": 0.5, "total": 1.0}
TIMINGS_MS: dict[str, Any] = {"feature_extractor": EXTRACTOR_MS, "classifier": HEAD_MS, "total": 9.5}


def test_what_the_parts_leave_of_a_whole_is_named() -> None:
    reading = Reading.of(11.0, TIMINGS_MS)
    assert reading.served_ms == 9.5
    assert reading.places["feature_extractor"][OTHER] == 0.5
    assert reading.places["classifier"][OTHER] == 0.25
    assert reading.places[GATEWAY] == {OTHER: 0.5}
    assert reading.places[CLIENT] == {OTHER: 1.5}
    assert sum(sum(parts.values()) for parts in reading.places.values()) == 11.0


def test_a_part_that_this_version_does_not_know_is_kept() -> None:
    timings_ms = {"only": {"compute": 1.0, "copy": 0.5, "total": 2.0}, "total": 2.0}
    assert Reading.of(3.0, timings_ms).places["only"] == {"compute": 1.0, "copy": 0.5, OTHER: 0.5}


@pytest.mark.parametrize(
    "timings_ms",
    [
        {},
        {"total": 9.5},
        {"feature_extractor": EXTRACTOR_MS},
        {"feature_extractor": 8.0, "total": 9.5},
        {"feature_extractor": {"compute": 1.0}, "total": 9.5},
        {"feature_extractor": {"compute": "long", "total": 2.0}, "total": 9.5},
        [],
    ],
    ids=["nothing", "no stage", "no total", "a number", "a stage without total", "words", "a list"],
)
def test_timings_that_say_nothing_are_one_error(timings_ms: Any) -> None:
    with pytest.raises(SetupError, match="do not report their timings"):
        Reading.of(11.0, timings_ms)


def test_means_and_shares_add_up_over_requests() -> None:
    slow = {**TIMINGS_MS, "feature_extractor": {**EXTRACTOR_MS, "compute": 14.0, "total": 18.0}, "total": 19.5}
    anatomy = Anatomy.of([Reading.of(11.0, TIMINGS_MS), Reading.of(12.0, TIMINGS_MS), Reading.of(25.0, slow)])
    assert [place.name for place in anatomy.places] == ["feature_extractor", "classifier", GATEWAY, CLIENT]
    assert [place.name for place in anatomy.stages] == ["feature_extractor", "classifier"]
    assert anatomy.requests == 3
    assert (anatomy.wait.mean_ms, anatomy.wait.median_ms, anatomy.wait.p99_ms) == pytest.approx((16.0, 12.0, 24.74))
    assert anatomy.served.mean_ms == pytest.approx((9.5 + 9.5 + 19.5) / 3)
    assert sum(place.whole.mean_ms for place in anatomy.places) == pytest.approx(16.0)
    assert sum(anatomy.share(place.whole) for place in anatomy.places) == pytest.approx(1.0)
    for place in anatomy.places:
        assert sum(part.mean_ms for part in place.parts.values()) == pytest.approx(place.whole.mean_ms)


def test_one_request_is_its_own_spread() -> None:
    assert Spread.of([2.0]) == Spread(2.0, 2.0, 2.0)


def test_p99_is_near_the_longest_of_a_hundred() -> None:
    spread = Spread.of([1.0] * 99 + [100.0])
    assert spread.median_ms == 1.0
    assert 1.0 < spread.p99_ms < 3.0
    assert Spread.of([1.0] * 97 + [100.0] * 3).p99_ms == 100.0
