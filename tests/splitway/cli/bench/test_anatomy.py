"""The parts of a request add up to its caller's wait; what the split costs and what pays for it, the long way round."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitway.cli.bench.anatomy import CLIENT, OTHER, Anatomy, BreakEven, Reading, Spread
from splitway.errors import SetupError
from splitway.names import GATEWAY

EXTRACTOR_MS = {"queue": 0.5, "decode": 2.0, "compute": 4.0, "network": 1.0, "total": 8.0}
HEAD_MS = {"queue": 0.0, "decode": 0.0, "compute": 0.25, "network": 0.5, "total": 1.0}
TIMINGS_MS: dict[str, Any] = {"feature_extractor": EXTRACTOR_MS, "classifier": HEAD_MS, "total": 9.5}
MS = st.floats(0.1, 100.0)


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


def break_even(served: float, in_process: float, extractor: float, head: float, uncertainty: float = 0.1) -> BreakEven:
    return BreakEven(200, served, in_process, extractor, head, uncertainty)


def test_it_is_reckoned_from_what_was_measured() -> None:
    timings_ms = {"feature_extractor": {"total": 7.0}, "classifier": {"total": 1.5}, "total": 9.0}
    anatomy = Anatomy.of([Reading.of(11.0, timings_ms), Reading.of(12.0, {**timings_ms, "total": 10.0})])
    found = BreakEven.of(anatomy, [(9.0, 7.0), (10.0, 7.5)])
    assert (found.requests, found.served, found.in_process) == (2, 9.5, 7.25)
    assert (found.extractor, found.head) == (7.0, 1.5)
    assert found.cost == 2.25
    assert found.uncertainty == pytest.approx(0.5)  # the costs are 2.0 and 2.5: twice 0.354 over the root of two


@given(MS, MS, MS)
def test_so_many_further_heads_pay_and_one_less_does_not(in_process: float, head: float, added: float) -> None:
    found = break_even(in_process + added, in_process, in_process, head)
    heads = found.further_heads
    if heads is None:
        assert head >= in_process
        return

    def saved(further: int) -> float:
        return (further + 1) * in_process - (found.served + further * head)

    rounding = 1e-6 + 1e-12 * (heads + 1) * in_process  # where the two cost nearly the same, there are very many heads
    assert heads >= 1
    assert saved(heads) > -rounding
    assert heads == 1 or saved(heads - 1) < rounding


@given(MS, MS, MS)
def test_beyond_the_share_of_repeats_the_cache_pays(in_process: float, extractor: float, added: float) -> None:
    found = break_even(in_process + added, in_process, extractor, 1.0)
    if found.repeats is None:
        assert found.served - extractor >= in_process - 1e-9
    else:
        assert found.served - found.repeats * extractor == pytest.approx(in_process)


def test_the_sentences_of_a_split_that_pays() -> None:
    costs, buys = break_even(9.7, 6.9, 7.0, 1.4).sentences()
    assert costs == "The split costs 2.8 ± 0.1 ms a request here: 9.7 ms in the gateway against 6.9 ms in one process."
    assert buys == (
        "It has paid for itself when a second head shares the features (each further head costs 1.4 ms instead of a "
        "whole model's 6.9 ms), or when more than 40 % of the pictures come again (the feature cache saves 7.0 ms on "
        "each)."
    )


def test_several_heads_are_counted() -> None:
    assert "when 3 further heads share the features" in break_even(7.5, 3.0, 4.0, 1.4).sentences()[1]


@pytest.mark.parametrize(
    ("found", "says", "says_not"),
    [
        (break_even(9.0, 2.0, 3.0, 2.5), "In time alone it does not pay here", "paid for itself"),
        (break_even(9.0, 4.0, 3.0, 1.0), "2 further heads share", "come again"),
        (break_even(9.0, 4.0, 6.0, 4.5), "more than 83 % of the pictures", "head"),
    ],
    ids=["neither", "heads alone", "cache alone"],
)
def test_what_does_not_pay_is_not_promised(found: BreakEven, says: str, says_not: str) -> None:
    buys = found.sentences()[1]
    assert says in buys
    assert says_not not in buys


@pytest.mark.parametrize("served", [6.95, 6.5], ids=["within chance", "faster"])
def test_a_cost_that_is_chance_is_not_called_one(served: float) -> None:
    costs, buys = break_even(served, 6.9, 6.0, 1.0).sentences()
    assert "no measurable cost in 200 requests" in costs
    assert "every further head" in buys
    assert "every picture that comes again" in buys


def test_a_free_split_whose_head_costs_a_model_promises_the_cache_alone() -> None:
    buys = break_even(3.0, 3.0, 2.0, 3.5).sentences()[1]
    assert "a further head costs more than a whole model" in buys
