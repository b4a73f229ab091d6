"""Traces are exported where the standard variables ask for it, and only those that the sampler keeps."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from splitway.errors import SetupError
from splitway.telemetry.trace import TraceContext, Tracer
from splitway.telemetry.tracer import make_tracer
from testkit.support import until
from tests.otlp_collector import SERVER, Collector, collecting

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "gateway"},
    ],
    ids=["nothing", "disabled", "none", "blank", "only a name"],
)
def test_nothing_is_exported_unless_it_is_asked_for(variables: dict[str, str]) -> None:
    assert type(make_tracer("gateway", variables)) is Tracer


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin"),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
    ],
    ids=["exporter", "protocol"],
)
def test_what_cannot_be_had_stops_the_start(variables: dict[str, str], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        make_tracer("gateway", variables)


def test_a_missing_extra_is_one_line_and_traces_travel_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "splitway.telemetry.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    assert type(make_tracer("gateway", ENDPOINT)) is Tracer
    assert "pip install 'splitway[otel]'" in caplog.text


def test_a_value_that_makes_no_sense_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENDPOINT, "OTEL_BSP_SCHEDULE_DELAY": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match="OTEL_"):
        make_tracer("gateway")


def test_a_key_that_is_written_wrongly_stays_out_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "authorization Bearer s3cr3t"}.items():
        monkeypatch.setenv(name, value)
    make_tracer("gateway").close()
    assert "s3cr3t" not in caplog.text


def test_what_exports_nothing_leaves_another_process_trace_as_it_is() -> None:
    """The gateway's spans are not exported, so that what lies below them would have no parent."""
    headers = {"traceparent": TraceContext.new(sampled=True).header}
    given = dict(headers)
    span = make_tracer("gateway", {}).begin("/v1/classify", headers)
    assert (span.recorded, span.child("attempt").exported) == (False, False)
    assert headers == given


def _tracer(collector: Collector, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Tracer:
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}.items():
        monkeypatch.setenv(name, value)
    return make_tracer("gateway")


def test_what_is_kept_arrives_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = TraceContext.new(sampled=True)
    with collecting() as collector:
        tracer = _tracer(collector, monkeypatch, OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test")
        headers: dict[str, str] = {}
        root = tracer.begin("/v1/classify", headers)
        with root.child("classifier", stage="classifier") as hop:
            batch = hop.add("batch", hop.started_s, hop.started_s + 0.25, rows=2)
            batch.links = [peer]
        root.end("unavailable")
        tracer.ended(root)
        tracer.close()
        seen = {span.name: span for span in collector.of(root.trace_id)}
    assert headers["traceparent"] == root.context.header
    assert root.context.sampled
    assert list(seen) == ["/v1/classify", "classifier", "batch"]
    top, stage, part = seen.values()
    assert (top.service, top.kind, top.parent_id, top.failed) == ("gateway", SERVER, "", True)
    assert (stage.parent_id, part.parent_id) == (top.span_id, stage.span_id)
    assert stage.attributes == {"stage": "classifier", "splitway.outcome": "ok"}
    assert part.end_ns - part.start_ns == pytest.approx(250e6, abs=1000)
    assert part.links == ((peer.trace_id, peer.span_id),)


@pytest.mark.parametrize(
    ("sampler", "parent_sampled", "kept"),
    [
        ("parentbased_always_off", None, False),
        ("parentbased_always_off", True, True),
        ("parentbased_always_on", False, False),
        ("always_on", False, True),
        ("always_off", True, False),
    ],
)
def test_the_sampler_decides(
    sampler: str, kept: bool, parent_sampled: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = None if parent_sampled is None else TraceContext.new(sampled=parent_sampled)
    headers = {} if parent is None else {"traceparent": parent.header}
    with collecting() as collector:
        tracer = _tracer(collector, monkeypatch, OTEL_TRACES_SAMPLER=sampler)
        span = tracer.begin("/v1/classify", headers)
        assert span.recorded is kept
        span.end()
        tracer.ended(span)
        tracer.close()
        assert len(collector.spans) == kept
    if parent is not None:
        assert span.trace_id == parent.trace_id


@pytest.mark.parametrize("sampler", ["parentbased_traceidratio", "traceidratio"])
def test_strangers_do_not_have_more_traces_kept_than_the_share(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by marking them, nor by choosing an id that the sampler would keep."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.1")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.01")
    open_, closed = (make_tracer("gateway", callers_decide=decide) for decide in (True, False))
    flags: dict[Tracer, list[str]] = {open_: [], closed: []}
    for tracer, seen in flags.items():
        for _ in range(1000):
            headers = {"traceparent": f"00-{'1' * 16}{'0' * 15}1-{'1' * 16}-01"}
            span = tracer.begin("/v1/classify", headers)
            assert span.trace_id == headers["traceparent"][3:35] == f"{'1' * 16}{'0' * 15}1"
            assert span.recorded is (headers["traceparent"][-2:] == "01")
            seen.append(headers["traceparent"][-2:])
        tracer.close()
    assert flags[open_].count("01") == 1000
    assert 50 < flags[closed].count("01") < 160


def test_a_share_is_kept_and_the_rest_says_so_to_the_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        tracer = _tracer(
            collector, monkeypatch, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.1"
        )
        flags = []
        for _ in range(1000):
            headers: dict[str, str] = {}
            span = tracer.begin("/v1/classify", headers)
            flags.append(headers["traceparent"][-2:])
            assert span.recorded is (flags[-1] == "01")
        tracer.close()
    assert 50 < flags.count("01") < 160


def test_a_collector_that_does_not_answer_is_said_once_and_keeps_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        tracer = make_tracer("gateway")
        for _ in range(3):
            span = tracer.begin("/v1/classify", {})
            span.end()
            tracer.ended(span)
            until(lambda: "cannot be sent" in caplog.text, 10)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
        patient = make_tracer("gateway")
        patient.ended(patient.begin("/v1/classify", {}))
        started_s = time.monotonic()
        patient.close()
        tracer.close()
        assert time.monotonic() - started_s < 10  # of the minute that it would wait
    assert [record.name for record in caplog.records] == ["splitway.telemetry.otel"]
