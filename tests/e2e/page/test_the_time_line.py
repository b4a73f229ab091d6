"""The last request's time by stage and attempt: bars where the numbers say, retries and hedges as rows of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from splitway.local.launch import LocalPipeline
from testkit.chaos.arena import Gateway, gateway
from testkit.chaos.proxy import Proxy
from tests.e2e.page.browser import CAT, View
from tests.e2e.page.conftest import Open
from tests.e2e.page.trouble import ask_until_retried

HEDGED: list[dict[str, Any]] = [
    {
        "stage": "feature_extractor",
        "start_ms": 1.0,
        "ms": 18.0,
        "outcome": "ok",
        "attempts": [
            {
                "number": 1,
                "replica": "http://a:1",
                "start_ms": 1.0,
                "ms": 18.0,
                "outcome": "cancelled",
                "is_hedge": False,
            },
            {"number": 2, "replica": "http://b:2", "start_ms": 10.0, "ms": 9.0, "outcome": "ok", "is_hedge": True},
        ],
    }
]


@contextmanager
def two_ways(pipeline: LocalPipeline, log: Path) -> Iterator[tuple[Gateway, list[Proxy]]]:
    """A gateway of the test's own with two ways to the classifier, either of which can be made to answer 503."""
    stages = {stage: pipeline.of(stage)[0].url for stage in ("feature_extractor", "classifier")}
    with Proxy(stages["classifier"]) as one, Proxy(stages["classifier"]) as other:
        urls = {"feature_extractor": [stages["feature_extractor"]], "classifier": [one.url, other.url]}
        with gateway(urls, log) as running:
            yield running, [one, other]


def test_a_retry_is_a_row_of_its_own_with_replica_and_outcome_in_words(
    open_page: Open, pipeline: LocalPipeline, tmp_path: Path
) -> None:
    with two_ways(pipeline, tmp_path / "log") as (running, proxies):
        view = open_page(running.url)
        ask_until_retried(view, proxies)
    assert view.labels[0] == CAT
    rows = view.page.locator("#score .lane").all_inner_texts()
    words = [" ".join(row.split()) for row in rows]
    assert [row.split()[0] for row in words] == ["gateway", "feature_extractor", "classifier", "retry"]
    failed, retried = words[-2:]
    assert "unavailable" in failed
    assert "answered" in retried
    assert re.findall(r"#\d", failed)[-1] != re.findall(r"#\d", retried)[-1], "the retry went to another replica"
    expect(view.page.locator("#score .lane[data-end=failed]")).to_have_count(1)


def _shown(ms: float) -> str:
    """As a browser rounds: what lies in the middle goes up, where Python takes the even one."""
    return str(Decimal(ms).quantize(Decimal("0.01"), ROUND_HALF_UP))


def test_the_table_is_the_replys_timings(view: View) -> None:
    with view.page.expect_response("**/v1/classify*") as answered:
        view.page.get_by_role("button", name="cat", exact=True).click()
    timings = answered.value.json()["timings_ms"]
    view.page.get_by_text("As numbers").click()
    table = view.page.get_by_role("table", name="Milliseconds of the last request by stage")
    assert table.get_by_role("columnheader").all_inner_texts() == [
        "ms",
        "queue",
        "decode",
        "compute",
        "network",
        "total",
    ]
    for stage in ("feature_extractor", "classifier"):
        row = table.get_by_role("row", name=stage)
        assert row.get_by_role("cell").all_inner_texts() == [_shown(ms) for ms in timings[stage].values()]
    expect(table.get_by_role("row", name="all").get_by_role("cell").last).to_have_text(_shown(timings["total"]))


def _with(view: View, **members: Any) -> None:
    """Answer as the gateway does, but with these members."""

    def answer(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), **members})

    view.page.route("**/v1/classify*", answer)


def test_bars_are_where_the_numbers_say(view: View) -> None:
    _with(view, timeline=HEDGED, timings_ms={"total": 20.0})
    view.ask()
    assert view.page.locator("#score .axis span").all_inner_texts() == ["0", "5", "10", "15\u202fms"]
    bars = view.page.locator("#score .lane .bar").evaluate_all(
        """bars => bars.map((bar) => {
            const own = bar.getBoundingClientRect(), track = bar.parentElement.getBoundingClientRect();
            return [(own.left - track.left) / track.width * 20, own.width / track.width * 20]; })"""
    )
    assert bars == [pytest.approx(bar, abs=0.1) for bar in ([0, 20], [1, 18], [10, 9])]
    expect(view.page.locator("#score .hedge")).to_contain_text("answered")
    expect(view.page.locator("#score .call")).to_contain_text("cancelled")


def test_a_problem_has_its_time_line_too(view: View) -> None:
    problem = {"code": "deadline_exceeded", "stage": "feature_extractor", "retryable": True, "detail": "time is up"}
    view.page.route("**/v1/classify*", lambda route: route.fulfill(status=504, json={**problem, "timeline": HEDGED}))
    view.ask()
    expect(view.error).to_contain_text("The stage feature_extractor took too long.")
    expect(view.page.locator("#score .attempt")).to_have_count(2)
    expect(view.page.locator(".numbers")).to_have_count(0)


def test_a_gateway_without_time_lines_shows_its_numbers(view: View) -> None:
    _with(view, timeline=None)
    view.ask()
    expect(view.page.locator("#score .lane")).to_have_count(0)
    expect(view.page.get_by_role("row", name="classifier")).to_be_visible()
