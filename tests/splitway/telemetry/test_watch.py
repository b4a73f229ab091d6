"""However a request ends, everyone who follows it is told once, with a name for its end."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest
from starlette.requests import ClientDisconnect

from splitway.errors import Overloaded, RequestError, ServingError, SplitwayError
from splitway.telemetry.outcome import CALLERS, OURS
from splitway.telemetry.trace import NoTracer, Span
from splitway.telemetry.watch import RequestEnded, Watch


class _Keeping(NoTracer):
    """Keeps the spans that are over."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def ended(self, span: Span) -> None:
        self.spans.append(span)


def _end_with(error: BaseException | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (Overloaded("too much"), "overloaded"),
        (ValueError("a defect"), "internal"),
        (ClientDisconnect(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_end_has_a_name(error: BaseException | None, outcome: str) -> None:
    told: list[RequestEnded[str]] = []
    tracer = _Keeping()
    watch: Watch[str] = Watch(tracer, (told.append, told.append))
    headers = {"x-request-id": "mine"}
    expected = nullcontext() if error is None else pytest.raises(type(error))
    with expected, watch.request("/v1/classify", headers, remember=True) as watched:
        watched.received_bytes, watched.facts = 7, "known"
        _end_with(error)
    assert len(told) == 2
    ended = told[0]
    assert (ended.name, ended.outcome, ended.request_id, ended.received_bytes) == ("/v1/classify", outcome, "mine", 7)
    assert (ended.error, ended.facts) == (error, "known")
    assert ended.seconds >= 0
    (span,) = tracer.spans
    assert (span.outcome, span.trace_id) == (outcome, ended.trace_id)
    assert headers["traceparent"] == span.context.header


def _below(kind: type[SplitwayError]) -> set[str]:
    return {kind.code}.union(*map(_below, kind.__subclasses__()))


def test_every_error_that_travels_is_the_callers_or_ours() -> None:
    assert not CALLERS & OURS
    assert _below(RequestError) | _below(ServingError) | {SplitwayError.code} == CALLERS | OURS
