"""Traces for OpenTelemetry collectors, by OTLP over HTTP. The only file that knows OpenTelemetry; it is imported where
traces are asked for (`tracer`).

Whether a trace is kept is decided when its first span begins, by the SDK's own sampler (OTEL_TRACES_SAMPLER); spans are
handed to its batch processor when their request has ended, so that one that is not kept costs one question.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, MutableMapping, Sequence

from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from splitway.telemetry.outcome import OURS
from splitway.telemetry.trace import (
    TRACEPARENT,
    Span,
    TraceContext,
    Tracer,
    Unrecorded,
    begun_here,
    read_traceparent,
    taken_over,
)
from splitway.version import __version__

_log = logging.getLogger(__name__)
_TALKATIVE = ("opentelemetry.exporter", "opentelemetry.util.re")
"""One logs each try of each batch, the other headers that it cannot read, keys included."""
_CLOSING_S = 2.0
"""For a collector to take what is left when the process ends; it may not answer at all."""


class _Exporter(OTLPSpanExporter):
    """The library's own, that says once that nothing can be sent, and once that it can again."""

    _works = True

    def export(self, spans: Sequence[sdk.ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        works = result is SpanExportResult.SUCCESS
        if works is not self._works:
            self._works = works
            where = self._endpoint.split("@")[-1]  # without a password
            _log.warning("traces are sent again to %s" if works else "traces cannot be sent to %s and are lost", where)
        return result


class OtelTracer(Tracer):
    """Exports the traces that the sampler keeps.

    Args:
        service: `service.name`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another.
        callers_decide: whether a trace that its caller has marked as kept is kept; if not, the sampler decides as of
            one that begins here.
    """

    def __init__(self, service: str, *, callers_decide: bool = True) -> None:
        super().__init__(callers_decide=callers_decide)
        own = {"service.name": service, "service.namespace": "splitway", "service.version": __version__}
        said = Resource.create().attributes
        resource = Resource.create({**own, **{k: v for k, v in said.items() if k != "service.name" or _is_said(v)}})
        self._resource = resource
        self._scope = InstrumentationScope("splitway", __version__)
        self._sampler = sdk.TracerProvider(shutdown_on_exit=False).sampler
        self._follows = callers_decide and isinstance(self._sampler, ParentBased)  # as OTEL_TRACES_SAMPLER makes it
        for library in _TALKATIVE:
            logging.getLogger(library).setLevel(logging.CRITICAL)
        self._processor = BatchSpanProcessor(_Exporter())

    def begin(self, name: str, headers: MutableMapping[str, str]) -> Span:
        given = taken_over(headers, callers_decide=self._callers_decide)
        parent = read_traceparent(given)
        if parent is not None and given is not None and self._follows and not parent.sampled:
            return Unrecorded(given)
        context = TraceContext.new() if parent is None else parent.below()
        sampled = self._keeps(name, context, parent)
        context = TraceContext(context.trace_id, context.span_id, sampled)
        if parent is None:
            span = begun_here(name, headers, context, recorded=sampled)
        elif sampled:
            span = Span(name, context, parent, "server")
        else:
            return Unrecorded(parent.header)
        if sampled:
            headers[TRACEPARENT] = context.header
        span.exported = sampled
        return span

    def ended(self, span: Span) -> None:
        if not span.exported:
            return
        epoch_ns = time.time_ns() - time.monotonic_ns()
        for each in _all(span):
            self._processor.on_end(self._readable(each, epoch_ns))

    def close(self) -> None:
        last = threading.Thread(target=self._processor.shutdown, name="last traces", daemon=True)
        last.start()
        last.join(_CLOSING_S)

    def _keeps(self, name: str, context: TraceContext, parent: TraceContext | None) -> bool:
        if parent is not None and self._follows:
            return parent.sampled
        if not self._callers_decide:
            parent, context = None, TraceContext.new()  # a sampler may go by the id, which the caller has chosen
        above = None if parent is None else api.set_span_in_context(api.NonRecordingSpan(self._theirs(parent)))
        decided = self._sampler.should_sample(above, int(context.trace_id, 16), name, api.SpanKind.SERVER)
        return decided.decision is Decision.RECORD_AND_SAMPLE

    def _theirs(self, context: TraceContext, *, is_remote: bool = True) -> api.SpanContext:
        flags = api.TraceFlags(int(context.sampled))
        return api.SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote, flags)

    def _readable(self, span: Span, epoch_ns: int) -> sdk.ReadableSpan:
        failed = span.outcome in OURS
        ended_s = span.started_s if span.ended_s is None else span.ended_s
        return sdk.ReadableSpan(
            name=span.name,
            context=self._theirs(span.context, is_remote=False),
            parent=None if span.parent is None else self._theirs(span.parent, is_remote=span.kind == "server"),
            resource=self._resource,
            attributes={**span.attributes, "splitway.outcome": span.outcome},
            links=[api.Link(self._theirs(context)) for context in span.links],
            kind=api.SpanKind[span.kind.upper()],
            status=api.Status(api.StatusCode.ERROR, span.outcome) if failed else api.Status(),
            start_time=epoch_ns + int(span.started_s * 1e9),
            end_time=epoch_ns + int(ended_s * 1e9),
            instrumentation_scope=self._scope,
        )


def _is_said(name: object) -> bool:
    """Whether a service's name was chosen, and is not the SDK's stopgap."""
    return not str(name).startswith("unknown_service")


def _all(span: Span) -> Iterator[Span]:
    yield span
    for child in span.children:
        yield from _all(child)
