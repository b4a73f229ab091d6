"""One request, found in the logs of all three services by its id, and in one trace with every span where it belongs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.otlp_collector import CLIENT, SERVER, Collector, Seen, collecting

JPEG = {"content-type": "image/jpeg"}
EXTRACTOR = "feature_extractor"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def log() -> LogBook:
    return LogBook()


@pytest.fixture(scope="module")
def traced(models: Path, collector: Collector, log: LogBook) -> Iterator[LocalPipeline]:
    """A pipeline of two extractors that exports every trace."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "SPLITWAY_ATTEMPT_TIMEOUT_MS": "500",
        "SPLITWAY_REQUEST_LOG_PER_SECOND": "1000",  # every one that is looked for is there
    }
    plan = LaunchPlan(models, port=0, replicas={EXTRACTOR: 2}, environment=environment, run_file=None)
    with LocalPipeline(plan, log.line) as running:
        running.wait_ready()
        until(lambda: _ready_extractors(running) == 2, 10)
        yield running


def _ready_extractors(pipeline: LocalPipeline) -> int:
    stages = httpx.get(f"{pipeline.gateway.url}/v1/pipeline", trust_env=False).json()["stages"]
    return sum(replica["state"] == "ready" for replica in stages[0]["replicas"])


def _classify(pipeline: LocalPipeline, cat: bytes, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{pipeline.gateway.url}/v1/classify", content=cat, headers={**JPEG, **headers}, timeout=10, trust_env=False
    )


def _lines(log: LogBook, request_id: str) -> list[dict[str, Any]]:
    lines = [line.partition(" | ")[2] for line in log.text.splitlines()]
    entries = [orjson.loads(line) for line in lines if line.startswith("{")]
    return [entry for entry in entries if entry.get("request_id") == request_id]


def _named(spans: list[Seen], name: str, below: Seen | None = None) -> list[Seen]:
    return [span for span in spans if span.name == name and (below is None or span.parent_id == below.span_id)]


def _check_stage(spans: list[Seen], attempt: Seen, stage: str) -> None:
    """Below the attempt that answered: the stage's own span, and in it where its time went."""
    (served,) = _named(spans, stage, attempt)
    assert (served.service, served.kind) == (stage, SERVER)
    (queue,), (batch,) = _named(spans, "queue", served), _named(spans, "batch", served)
    (decode,), (engine,) = _named(spans, "decode", batch), _named(spans, "engine", batch)
    assert served.start_ns <= queue.start_ns <= queue.end_ns <= batch.start_ns
    assert decode.end_ns == engine.start_ns
    assert engine.end_ns <= served.end_ns <= attempt.end_ns


def test_one_id_finds_the_lines_of_all_three_services(traced: LocalPipeline, log: LogBook, cat: bytes) -> None:
    reply = _classify(traced, cat, **{"x-request-id": "find-me"})
    assert reply.status_code == 200
    until(lambda: len(_lines(log, "find-me")) == 3, 5)
    lines = {line["service"]: line for line in _lines(log, "find-me")}
    assert lines.keys() == {"gateway", EXTRACTOR, "classifier"}
    assert len({line["trace_id"] for line in lines.values()}) == 1
    assert {line["outcome"] for line in lines.values()} == {"ok"}
    timings = reply.json()["timings_ms"]
    for stage in (EXTRACTOR, "classifier"):
        assert lines[stage]["compute_ms"] == timings[stage]["compute"]
        assert lines["gateway"]["stages"][stage]["total_ms"] == timings[stage]["total"]


def test_one_trace_has_every_span_where_it_belongs(traced: LocalPipeline, collector: Collector, cat: bytes) -> None:
    parent_trace, parent_span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    assert _classify(traced, cat, traceparent=f"00-{parent_trace}-{parent_span}-01").status_code == 200
    until(lambda: len(collector.of(parent_trace)) == 16, 10)
    spans = collector.of(parent_trace)
    (root,) = [span for span in spans if span.parent_id == parent_span]
    assert (root.service, root.name, root.kind) == ("gateway", "/v1/classify", SERVER)
    assert len(_named(spans, "admission", root)) == 1
    for stage in (EXTRACTOR, "classifier"):
        (hop,) = _named(spans, stage, root)
        (attempt,) = _named(spans, "attempt", hop)
        assert (attempt.kind, attempt.attributes["number"], attempt.attributes["splitway.outcome"]) == (CLIENT, 1, "ok")
        _check_stage(spans, attempt, stage)


def _retried(pipeline: LocalPipeline, cat: bytes, callers: ThreadPoolExecutor) -> str | None:
    """Ask four times at once; return the id of one that took two attempts. None if none met the frozen replica."""
    replies = list(callers.map(lambda _: _classify(pipeline, cat), range(4)))
    assert [reply.status_code for reply in replies] == [200] * 4
    return next((reply.json()["id"] for reply in replies if reply.headers["x-attempt-count"] == "2"), None)


def test_a_retry_is_a_span_beside_the_attempt_that_failed(
    traced: LocalPipeline, collector: Collector, log: LogBook, cat: bytes
) -> None:
    frozen = traced.of(EXTRACTOR)[0]
    frozen.popen.send_signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(4) as callers:
            retried = next(filter(None, (_retried(traced, cat, callers) for _ in range(25))))
    finally:
        frozen.popen.send_signal(signal.SIGCONT)
    until(lambda: len(_lines(log, retried)) >= 3, 5)
    trace_id = _lines(log, retried)[0]["trace_id"]
    until(lambda: len(_named(collector.of(trace_id), "attempt")) == 3, 10)
    (again,) = [span for span in _named(collector.of(trace_id), "attempt") if span.attributes["number"] == 2]
    until(lambda: bool(_named(collector.of(trace_id), EXTRACTOR, again)), 10)
    spans = collector.of(trace_id)
    (root,) = [span for span in spans if not span.parent_id]
    (hop,) = _named(spans, EXTRACTOR, root)
    failed, second = _named(spans, "attempt", hop)
    assert second == again
    assert [span.attributes["splitway.outcome"] for span in (failed, again)] == ["deadline_exceeded", "ok"]
    assert (failed.failed, again.failed) == (True, False)
    assert again.attributes["because"] == "deadline_exceeded"
    assert (failed.attributes["replica"], again.attributes["number"]) == (frozen.url, 2)
    assert failed.end_ns <= again.start_ns
    _check_stage(spans, again, EXTRACTOR)
