"""What a stage says of its work: counters that begin with 0, and spans of what was batched together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from splitway.services.classifier import app as classifier
from splitway.telemetry.trace import TraceContext
from tests.otlp_collector import Seen, collecting
from tests.splitway.runtime.stage_app import FEATURES, StageClient, serving
from tests.tiny_bundles import SPACE, write_bundle


def _samples(metrics: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in metrics.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def _metrics(stage: StageClient) -> dict[str, float]:
    return _samples((await stage.http.get("/metrics")).text)


async def test_everything_begins_with_0_and_is_counted_once(tmp_path: Path) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path) as stage:
        before = await _metrics(stage)
        reply = await stage.post("classifier")
        refused = await stage.post("classifier", space="fs:0123456789abcdef")
        unread = await stage.http.post("/v2/models/classifier/infer", content=b"{")
        after = await _metrics(stage)
    assert [each.status_code for each in (reply, refused, unread)] == [200, 409, 400]
    name, of = "splitway_stage", '{stage="classifier"}'
    for outcome, count in (("ok", 1), ("feature_space_mismatch", 1), ("invalid_input", 1), ("overloaded", 0)):
        sample = f'{name}_requests_total{{outcome="{outcome}",stage="classifier"}}'
        assert (before[sample], after[sample]) == (0, count)
    for family, count in (("duration_seconds", 3), ("queue_seconds", 1), ("compute_seconds", 1), ("batch_rows", 1)):
        assert (before[f"{name}_{family}_count{of}"], after[f"{name}_{family}_count{of}"]) == (0, count)
    assert after[f"{name}_sent_bytes_total{of}"] == len(reply.content)
    assert after[f"{name}_received_bytes_total{of}"] > 0
    assert (after[f"{name}_ready"], after[f"{name}_in_flight{of}"], after[f"{name}_queued_rows{of}"]) == (1, 0, 0)
    info = f'{name}_model_info{{engine="litert",feature_space="{SPACE}",stage="classifier",version="1"}}'
    assert after[info] == 1


async def test_those_of_one_batch_are_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path, "classifier", 1)
    callers = [TraceContext.new(sampled=True) for _ in range(3)]
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with serving(
            classifier.create_app, tmp_path, max_batch_rows=6, max_batch_wait_ms=1000, queue_rows=64
        ) as stage:
            replies = await asyncio.gather(*(_traced(stage, caller) for caller in callers))
        spans = collector.spans
    assert [reply.status_code for reply in replies] == [200] * 3
    served = {span.trace_id: span for span in spans if span.name == "classifier"}
    batches = {span.trace_id: span for span in spans if span.name == "batch"}
    assert served.keys() == batches.keys() == {caller.trace_id for caller in callers}
    for caller in callers:
        batch = batches[caller.trace_id]
        assert served[caller.trace_id].parent_id == caller.span_id
        assert batch.parent_id == served[caller.trace_id].span_id
        assert (batch.attributes["rows"], batch.attributes["members"]) == (6, 3)
        assert set(batch.links) == {_place(served[other.trace_id]) for other in callers if other is not caller}


async def _traced(stage: StageClient, caller: TraceContext) -> httpx.Response:
    stage.http.headers["traceparent"] = caller.header  # read when the request is built, before anything is awaited
    return await stage.post("classifier", FEATURES)


def _place(span: Seen) -> tuple[str, str]:
    return span.trace_id, span.span_id
