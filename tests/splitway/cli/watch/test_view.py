"""What `splitway top` draws and writes of a look."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from rich.console import Console

from splitway.cli.status import Look, no_answer
from splitway.cli.watch.trend import Trends
from splitway.cli.watch.view import view
from splitway.cli.watch.wording import counts, number, plain_line, span, troubles
from splitway.schemas.pipeline import PipelineStatus
from tests.splitway.cli.pipelines import AT, UNREACHABLE, URL, look, pipeline, replica, stage

SILENT = no_answer(URL, httpx.ConnectError(""), AT, 112.0)


def _drawn(seen: Look, width: int = 140, height: int | None = None, trends: Trends | None = None) -> str:
    paper = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    paper.print(view(seen, trends or Trends(), width, height))
    assert isinstance(paper.file, io.StringIO)
    return paper.file.getvalue()


def _row(drawn: str, begins: str) -> str:
    """The line that begins so, with one blank between its words."""
    return next(" ".join(line.split()) for line in drawn.splitlines() if line.strip().startswith(begins))


def test_the_gateway_is_drawn_with_its_own_counts() -> None:
    drawn = _drawn(look(pipeline()))
    for words in (
        "Splitway 0.1.0  http://127.0.0.1:8080",
        "up for 2 h 13 min",
        "✓ ready",
        "1 238 since start: 1 234 ok · 3 overloaded · 1 invalid_input",
        "8.7/s",
        "p50 / p99  10.2 / 14.9 ms · 1 of 87 failed (1.1 %), last 10 s",
        "3 in flight of 24 · 1 queued · turned away: 3 queue_full",
        "fs:61b4d6db79be20bf",
    ):
        assert words in drawn


def test_stages_and_replicas_are_drawn_with_what_they_do() -> None:
    drawn = _drawn(look(pipeline()))
    assert _row(drawn, "feature_extractor") == "feature_extractor ✓ 2 of 2 ready 9.8 retries 120 8.7 0 10.2 / 14.9 4"
    assert _row(drawn, "127.0.0.1:8081") == "127.0.0.1:8081 ✓ ready closed 1 fs:61b4d6db79be20bf 60 - 0 9.1 2"


def test_calls_per_second_come_from_two_looks() -> None:
    trends = Trends()
    for at_s, count in ((98.0, 20), (100.0, 60)):
        answer = pipeline(stage("classifier", replica(8091, attempts={"ok": count})))
        trends.add(at_s, PipelineStatus.model_validate(answer))
    assert " 60 20.0 0 " in _row(_drawn(look(answer), trends=trends), "127.0.0.1:8091")


def test_a_replica_that_is_gone_is_marked_named_and_counted() -> None:
    drawn = _drawn(look(pipeline(stage("feature_extractor", replica(8081), UNREACHABLE))))
    assert _row(drawn, "feature_extractor").startswith("feature_extractor ! 1 of 2 ready")
    assert (
        _row(drawn, "127.0.0.1:8082") == "127.0.0.1:8082 ✗ unreachable ! open, 3 s 1 fs:61b4d6db79be20bf 66 - 5 9.1 2"
    )
    assert "✗ feature_extractor 127.0.0.1:8082 cannot be reached" in drawn


def test_a_gateway_that_is_not_ready_says_why() -> None:
    drawn = _drawn(look(pipeline(ready=False, reason="no replica of classifier is ready")))
    assert "✗ not ready: no replica of classifier is ready" in drawn


def test_a_gateway_that_does_not_answer_is_said_with_how_long() -> None:
    trends = Trends()
    trends.add(100.0, PipelineStatus.model_validate(pipeline()))
    drawn = _drawn(SILENT, trends=trends)
    assert "✗ no gateway answers at http://127.0.0.1:8080" in drawn
    assert "for 12 s; it is asked again and again" in drawn


def test_an_older_gateway_is_drawn_without_what_it_leaves_out() -> None:
    answer: dict[str, Any] = {"ready": True, "stages": [{"name": "classifier", "replicas": [{"url": "http://c:1"}]}]}
    drawn = _drawn(look(answer))
    assert "of an older version" in drawn
    assert _row(drawn, "c:1").startswith("c:1 ! not probed yet -")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_nothing_is_cut_off_in_the_table_whatever_the_width(width: int) -> None:
    drawn = _drawn(look(pipeline(stage("feature_extractor", replica(8081), UNREACHABLE))), width)
    assert "…" not in drawn
    assert max(len(line.rstrip()) for line in drawn.splitlines()) <= width
    assert "fs:61b4d6db79be20bf" in drawn


def test_in_a_low_window_replicas_in_trouble_come_first_and_the_others_are_counted() -> None:
    many = [replica(9000 + number) for number in range(40)]
    seen = look(pipeline(stage("feature_extractor", *many, UNREACHABLE), stage("classifier", replica(8091))))
    drawn = _drawn(seen, 120, 24)
    assert _row(drawn, "127.0.0.1:8082").startswith("127.0.0.1:8082 ✗ unreachable")
    shown = sum(line.strip().startswith("127.0.0.1:") for line in drawn.splitlines())
    assert f"and {42 - shown} more replicas that are ready" in drawn
    assert len(drawn.splitlines()) <= 24


def test_replicas_of_several_feature_spaces_are_counted_by_space() -> None:
    foreign = replica(8091, feature_space="fs:00000000000000ff")
    drawn = _drawn(
        look(pipeline(stage("feature_extractor", replica(8081), replica(8082)), stage("classifier", foreign)))
    )
    assert "fs:61b4d6db79be20bf of 2 replicas · fs:00000000000000ff of 1 replicas" in drawn


def test_a_line_holds_the_same_for_pipes() -> None:
    line = plain_line(look(pipeline(stage("feature_extractor", replica(8081), UNREACHABLE))), None)
    assert line == (
        "20:58:39 ready | 1 234 ok, 3 overloaded, 1 invalid_input | 8.7/s | 1 of 87 failed (1.1 %) | "
        "p50/p99 10.2 / 14.9 ms | in flight 3 of 24, queued 1 | feature_extractor 1 of 2 ready | "
        "feature_extractor 127.0.0.1:8082 cannot be reached"
    )


def test_a_line_without_an_answer_says_so() -> None:
    assert plain_line(SILENT, None).startswith("20:58:39 not ready: no gateway answers at")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": "not_ready", "reason": "is not ready: warming up"}, "s 127.0.0.1:1 is not ready: warming up"),
        ({"state": "not_ready"}, "s 127.0.0.1:1 is not ready"),
        ({"state": "unreachable"}, "s 127.0.0.1:1 cannot be reached"),
        (
            {"state": "unreachable", "reason": "s at 127.0.0.1:1 cannot be reached"},
            "s at 127.0.0.1:1 cannot be reached",
        ),
        ({"state": "unknown"}, "s 127.0.0.1:1 has not been probed yet"),
        (
            {"breaker": "open", "breaker_retry_in_s": 2.0},
            "is ready, but its breaker is open, 2 s: too many calls failed",
        ),
        ({"breaker": "forced_open"}, "is ready, but its breaker is held open by SPLITWAY_BREAKERS"),
    ],
    ids=["warming", "not-ready", "unreachable", "named", "unknown", "open", "forced"],
)
def test_each_trouble_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    (sentence,) = troubles(PipelineStatus.model_validate(pipeline(stage("s", replica(1, **changes)))))
    assert says in sentence
    assert sentence.count("127.0.0.1:1") == 1


def test_a_stage_without_replicas_is_a_trouble() -> None:
    (sentence,) = troubles(PipelineStatus.model_validate(pipeline(stage("s"))))
    assert sentence == "s has no replica: its address leads nowhere"


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(None, "-"), (4.4, "4 s"), (75, "1 min 15 s"), (8000, "2 h 13 min"), (200_000, "2 d 7 h")],
)
def test_spans_are_two_units(seconds: float | None, says: str) -> None:
    assert span(seconds) == says


def test_numbers_and_counts_are_readable() -> None:
    assert (number(None), number(12345.678), number(0.04)) == ("-", "12 345.7", "0.0")
    assert counts({"overloaded": 2, "ok": 1, "unavailable": 3, "cancelled": 0}) == "1 ok · 3 unavailable · 2 overloaded"
    assert counts({}) == "none"
