"""What `splitway top` draws and writes of a look."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from rich.console import Console

from splitway.cli.status import Look, look_of
from splitway.cli.watch.view import counts, number, plain_line, span, troubles, view
from splitway.schemas.pipeline import PipelineStatus
from tests.splitway.cli.pipelines import AT, UNREACHABLE, URL, look, pipeline, replica, stage

SILENT = look_of(URL, httpx.ConnectError(""), AT, 112.0)


def _drawn(seen: Look, width: int = 160, before: Look | None = None) -> str:
    paper = Console(file=io.StringIO(), width=width, color_system=None)
    paper.print(view(seen, width, before))
    assert isinstance(paper.file, io.StringIO)
    return paper.file.getvalue()


def _row(drawn: str, begins: str) -> str:
    """The line that begins so, with one blank between its words."""
    lines = (" ".join(line.split()) for line in drawn.splitlines())
    return next(line for line in lines if line.startswith(begins))


def test_the_gateway_is_drawn_with_its_own_counts() -> None:
    drawn = _drawn(look(pipeline()))
    for words in (
        "Splitway 0.1.0 http://127.0.0.1:8080",
        "up for 2:13:20 · 20:58:39",
        "✓ ready",
        "1 238 since start: 1 234 ok · 3 overloaded · 1 invalid_input",
        "8.7/s · p50 / p99 10.2 / 14.9 ms · 1 of 87 failed, last 10 s",
        "3 in flight of 24 · 1 queued · turned away: 3 queue_full",
        "fs:61b4d6db79be20bf of 3 replicas",
    ):
        assert words in drawn


def test_stages_and_replicas_are_drawn_with_what_they_do() -> None:
    drawn = _drawn(look(pipeline()))
    assert _row(drawn, "feature_extractor ✓") == (
        "feature_extractor ✓ 2 of 2 ready, 9.8 retries left 120 8.7 0 10.2 / 14.9 4"
    )
    assert _row(drawn, "feature_extractor 127.0.0.1:8081") == (
        "feature_extractor 127.0.0.1:8081 ✓ ready 1 fs:61b4d6db79be20bf 60 - 0 9.1 2"
    )


def _serving(*offers: str) -> list[dict[str, str]]:
    return [dict(zip(("name", "version"), offer.split(), strict=True)) for offer in offers]


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        ((), "7"),
        (("classifier 3",), "3"),
        (("classifier 10", "classifier 9"), "9, 10"),
        (("pets 4",), "pets 4"),
        (("pets 4", "classifier 1"), "classifier 1 · pets 4"),
        (("a 1", "b 2", "c 3", "d 4", "e 5"), "a 1 · b 2 · c 3 · 2 more"),
    ],
    ids=["an-older-gateway", "one", "two-versions", "another-head", "two-heads", "many"],
)
def test_every_model_has_its_own_version(offers: tuple[str, ...], says: str) -> None:
    seen = replica(8091, version="7", models=_serving(*offers), restarts=2)
    drawn = _drawn(look(pipeline(stage("classifier", seen))))
    assert f"✓ ready, restarted 2 times {says} fs:" in _row(drawn, "classifier 127.0.0.1:8091")


def test_the_features_are_those_of_the_current_release() -> None:
    models = [{"name": "feature_extractor", "version": each, "gives": f"fs:{each}"} for each in "12"]
    extractor = stage("feature_extractor", replica(8081, feature_space="fs:2", models=models))
    releases = {"current": "v1", "releases": {"v1": {"feature_space": "fs:1", "part": "current"}}}
    drawn = _drawn(look(pipeline(extractor, releases=releases)))
    assert "features  fs:1 of v1" in drawn
    assert "1, 2 fs:1 60" in _row(drawn, "feature_extractor 127.0.0.1:8081")
    assert "fs:2" not in drawn


def test_heads_are_named_with_their_versions_and_why_one_cannot_be_reached() -> None:
    lost = "head 'pets' was trained on fs:2; the features are from fs:1"
    heads = [{"name": "classifier", "ready": True, "version": "1"}, {"name": "pets", "version": "4", "reason": lost}]
    drawn = _drawn(look(pipeline(heads=heads)))
    assert "heads     classifier 1 · pets 4" in drawn
    assert f"✗ head pets: {lost}" in drawn


def test_the_releases_that_serve_are_named_with_their_shares() -> None:
    parts = {"v1": {"part": "current", "share": 90}, "v2": {"part": "canary", "share": 10}, "v0": {}}
    drawn = _drawn(look(pipeline(releases={"current": "v1", "releases": parts})))
    assert "releases  v1 current 90 % · v2 canary 10 %" in drawn


@pytest.mark.parametrize(
    ("before", "passed_s", "rate"),
    [(20, 2.0, "20.0"), (20, 10.0, "4.0"), (900, 2.0, "0.0"), (20, 0.0, "-")],
    ids=["two-seconds", "ten-seconds", "began-again", "at-once"],
)
def test_calls_per_second_come_from_two_looks(before: int, passed_s: float, rate: str) -> None:
    earlier, now = (
        look(pipeline(stage("classifier", replica(8091, attempts={"ok": count}))), at_s)
        for at_s, count in ((100.0, before), (100.0 + passed_s, 60))
    )
    assert f" 60 {rate} 0 " in _row(_drawn(now, before=earlier), "classifier 127.0.0.1:8091")


def test_a_replica_that_is_new_has_its_calls_counted_from_none() -> None:
    earlier, now = look(pipeline(stage("s", replica(1))), 100.0), look(pipeline(stage("s", replica(2))), 102.0)
    assert " 60 30.0 0 " in _row(_drawn(now, before=earlier), "s 127.0.0.1:2")


def test_a_replica_that_is_gone_is_marked_named_and_counted() -> None:
    drawn = _drawn(look(pipeline(stage("feature_extractor", replica(8081), UNREACHABLE))))
    assert (
        _row(drawn, "feature_extractor !")
        == "feature_extractor ! 1 of 2 ready, 9.8 retries left 126 8.7 5 10.2 / 14.9 4"
    )
    assert _row(drawn, "feature_extractor 127.0.0.1:8082") == (
        "feature_extractor 127.0.0.1:8082 ✗ unreachable, breaker open, 3 s 1 fs:61b4d6db79be20bf 66 - 5 9.1 2"
    )
    assert "✗ feature_extractor 127.0.0.1:8082 cannot be reached" in drawn


def test_a_gateway_that_is_not_ready_says_why() -> None:
    drawn = _drawn(look(pipeline(ready=False, reason="no replica of classifier is ready")))
    assert "✗ not ready: no replica of classifier is ready" in drawn


def test_a_gateway_that_does_not_answer_is_said() -> None:
    assert "✗ not ready: no gateway answers at http://127.0.0.1:8080" in _drawn(SILENT)


def test_an_older_gateway_is_drawn_without_what_it_leaves_out() -> None:
    answer: dict[str, Any] = {"ready": True, "stages": [{"name": "classifier", "replicas": [{"url": "http://c:1"}]}]}
    drawn = _drawn(look(answer))
    assert "requests" not in drawn
    assert _row(drawn, "classifier c:1") == "classifier c:1 ✗ not probed yet - - 0 - 0 - -"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_nothing_is_cut_off_in_the_table_whatever_the_width(width: int) -> None:
    drawn = _drawn(look(pipeline(stage("feature_extractor", replica(8081), UNREACHABLE))), width)
    assert "…" not in drawn
    assert max(len(line.rstrip()) for line in drawn.splitlines()) <= width
    assert "fs:61b4d6db79be20bf" in drawn


def test_stages_and_what_is_in_trouble_come_first_so_that_a_low_window_shows_them() -> None:
    many = [replica(9000 + number) for number in range(40)]
    shut = replica(9040, breaker="open")
    drawn = _drawn(look(pipeline(stage("feature_extractor", *many, UNREACHABLE, shut), stage("classifier", *many[:1]))))
    begins = [line.split()[:2] for line in drawn.split("─────")[-1].splitlines()[1:]]
    assert [second for _, second in begins[:4]] == ["!", "✓", "127.0.0.1:8082", "127.0.0.1:9040"]
    assert len(begins) == 2 + 43


def test_replicas_of_several_feature_spaces_are_counted_by_space() -> None:
    foreign = replica(8091, feature_space="fs:00000000000000ff")
    drawn = _drawn(
        look(pipeline(stage("feature_extractor", replica(8081), replica(8082)), stage("classifier", foreign)))
    )
    assert "fs:61b4d6db79be20bf of 2 replicas · fs:00000000000000ff of 1 replicas" in drawn


def test_a_line_holds_the_same_for_pipes() -> None:
    line = plain_line(look(pipeline(stage("feature_extractor", replica(8081), UNREACHABLE))))
    assert line == (
        "20:58:39 ready | 1 238 since start: 1 234 ok · 3 overloaded · 1 invalid_input | "
        "8.7/s · p50 / p99 10.2 / 14.9 ms · 1 of 87 failed, last 10 s | "
        "3 in flight of 24 · 1 queued · turned away: 3 queue_full | fs:61b4d6db79be20bf of 2 replicas | "
        "feature_extractor 1 of 2 ready | feature_extractor 127.0.0.1:8082 cannot be reached"
    )


def test_a_line_without_an_answer_says_so() -> None:
    assert plain_line(SILENT).startswith("20:58:39 not ready: no gateway answers at")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": "not_ready", "reason": "is not ready: warming up"}, "s 127.0.0.1:1 is not ready: warming up"),
        ({"state": "not_ready"}, "s 127.0.0.1:1 is not ready"),
        ({"state": "unreachable"}, "s 127.0.0.1:1 is unreachable"),
        (
            {"state": "unreachable", "reason": "s at 127.0.0.1:1 cannot be reached"},
            "s at 127.0.0.1:1 cannot be reached",
        ),
        ({"state": "unknown"}, "s 127.0.0.1:1 is not probed yet"),
        (
            {"breaker": "open", "breaker_retry_in_s": 2.0},
            "is ready, but its breaker is open, 2 s: too many calls failed",
        ),
        ({"breaker": "forced_open"}, "is ready, but its breaker is forced open: set by SPLITWAY_BREAKERS"),
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
    [
        (None, "-"),
        (4.4, "0:00:04"),
        (75, "0:01:15"),
        (8000, "2:13:20"),
        (200_000, "2 days, 7:33:20"),
        (1e15, "115740 days, 17:46:40"),
    ],
)
def test_spans_are_read_as_a_clock(seconds: float | None, says: str) -> None:
    assert span(seconds) == says


def test_numbers_and_counts_are_readable() -> None:
    assert (number(None), number(12345.678), number(0.04), number(1234)) == ("-", "12 345.7", "0.0", "1 234")
    assert counts({"overloaded": 2, "ok": 1, "unavailable": 3, "cancelled": 0}) == "1 ok · 3 unavailable · 2 overloaded"
    assert counts({}) == "none"
