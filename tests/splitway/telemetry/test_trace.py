"""Trace contexts as W3C has them, and spans that remember a request's way."""

from __future__ import annotations

import pytest

from splitway.errors import Unavailable
from splitway.telemetry.trace import UNRECORDED, Span, TraceContext, Tracer, read_traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-03", True),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", True),
    ],
    ids=["sampled", "not sampled", "another flag", "a later version"],
)
def test_what_can_be_read(text: str, *, sampled: bool) -> None:
    assert read_traceparent(text) == TraceContext(TRACE, PARENT, sampled)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00-1-2-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
    ids=["none", "empty", "short", "no trace", "no span", "version ff", "capitals", "more than 00 has", "line break"],
)
def test_what_cannot_be_read_begins_a_new_trace(text: str | None) -> None:
    assert read_traceparent(text) is None
    headers = {"tracestate": "a=b"} | ({} if text is None else {"traceparent": text})
    span = Tracer().begin("request", headers)
    begun = read_traceparent(headers["traceparent"])
    assert begun is not None
    assert begun.trace_id == span.trace_id
    assert not begun.sampled
    assert "tracestate" not in headers


STATES = {
    "one": ("vendor=1", True),
    "two": ("vendor=opaque/value, tenant@vendor=x y", True),
    "512 characters": ("a=" + "x" * 255 + ",b=" + "x" * 252, True),
    "more": ("a=" + "x" * 255 + ",b=" + "x" * 253, False),
    "no value": ("vendor", False),
    "nothing": ("", False),
    "capitals": ("Vendor=1", False),
    "not ascii": ("vendor=\xe4", False),
    "a control character": ("vendor=\x1b[2J", False),
    "what a careless pattern takes for ever with": ("a=b," * 127 + "a=\xe4", False),
}


@pytest.mark.parametrize(("state", "travels"), STATES.values(), ids=STATES.keys())
def test_a_tracestate_travels_on_if_it_is_one(state: str, *, travels: bool) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": state}
    Tracer().begin("request", headers)
    assert headers.get("tracestate") == (state if travels else None)


def test_of_a_later_version_only_what_is_known_travels_on() -> None:
    headers = {"traceparent": f"cc-{TRACE}-{PARENT}-01-" + "x" * 10_000}
    assert Tracer().begin("request", headers).trace_id == TRACE
    assert headers == {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def test_a_trace_that_a_stranger_marks_as_kept_goes_on_unmarked() -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert Tracer(callers_decide=False).begin("request", headers).trace_id == TRACE
    assert headers == {"traceparent": f"00-{TRACE}-{PARENT}-00"}


def test_what_came_travels_on_unchanged() -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}
    span = Tracer().begin("request", dict(headers))
    assert span.trace_id == TRACE
    assert not span.recorded
    assert headers == {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"}


def test_spans_lie_below_each_other_and_end_as_their_work_does() -> None:
    parent = TraceContext(TRACE, PARENT, sampled=True)
    root = Span("request", parent.below(), parent, "server")
    assert root.parent == TraceContext(TRACE, PARENT, sampled=True)
    hop = root.child("stage", stage="classifier")
    hop.add("queue", 1.0, 2.0)
    with pytest.raises(Unavailable), hop:
        raise Unavailable("gone")
    (same,) = root.children
    assert same is hop
    assert (hop.parent, hop.outcome, hop.attributes) == (root.context, "unavailable", {"stage": "classifier"})
    assert hop.ended_s is not None
    assert hop.ended_s >= hop.started_s >= root.started_s
    assert [(span.name, span.started_s, span.ended_s) for span in hop.children] == [("queue", 1.0, 2.0)]
    assert len({span.context.span_id for span in (root, hop, *hop.children)}) == 3


def test_what_is_not_recorded_remembers_nothing() -> None:
    span: Span = UNRECORDED
    with span.child("stage", "client", number=1) as child:
        assert child.add("queue", 0.0, 1.0) is child is span
    span.end("unavailable")
    assert not hasattr(span, "children")
