"""Where one request's time went, stage by stage and attempt by attempt, for callers who ask for it."""

from __future__ import annotations

from typing import Any

from splitway.gateway.hop.events import ATTEMPT
from splitway.telemetry.trace import Span


def timeline(request: Span) -> list[dict[str, Any]]:
    """The stages that a request went to, in order of their start, in milliseconds since it came in."""
    stages = [span for span in request.children if span.kind == "internal" and "stage" in span.attributes]
    return [
        {
            "stage": stage.attributes["stage"],
            **_times(stage, request),
            "attempts": [_attempt(span, request) for span in stage.children if span.name == ATTEMPT],
        }
        for stage in stages
    ]


def _attempt(span: Span, request: Span) -> dict[str, Any]:
    """Its replica by number: where that is, `/v1/pipeline` says to those who may know."""
    told = {"number": "number", "replica": "replica_number", "is_hedge": "is_hedge"}
    return {name: span.attributes[attribute] for name, attribute in told.items()} | _times(span, request)


def _times(span: Span, request: Span) -> dict[str, Any]:
    ended_s = span.ended_s if span.ended_s is not None else span.started_s
    return {
        "start_ms": round((span.started_s - request.started_s) * 1000, 3),
        "ms": round((ended_s - span.started_s) * 1000, 3),
        "outcome": span.outcome,
    }
