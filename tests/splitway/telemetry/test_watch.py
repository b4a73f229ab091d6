"""However a request ends, everyone who follows it is told once, with a name for its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from contextlib import nullcontext
from functools import partial

import pytest
from starlette.requests import ClientDisconnect

from splitway.errors import DeadlineExceeded, Overloaded, RateLimited, RequestError, ServingError, SplitwayError
from splitway.telemetry.outcome import CALLERS, HURRIED, OURS
from splitway.telemetry.trace import Span, TraceContext, Tracer, begun_here
from splitway.telemetry.watch import RequestEnded, Watch
from testkit.support import until


class _Keeping(Tracer):
    """Keeps the spans that are over."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Span] = []

    def begin(self, name: str, headers: MutableMapping[str, str]) -> Span:
        return begun_here(name, headers, TraceContext.new(), recorded=True)

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
    with expected, watch.request("/v1/classify", headers) as watched:
        watched.received(7)
        watched.facts = "known"
        _end_with(error)
    assert len(told) == 2
    ended = told[0]
    assert (ended.name, ended.outcome, ended.request_id, ended.received_bytes) == ("/v1/classify", outcome, "mine", 7)
    assert (ended.error, ended.facts) == (error, "known")
    assert ended.seconds >= 0
    (span,) = tracer.spans
    assert (span.outcome, span.trace_id) == (outcome, ended.trace_id)
    assert headers["traceparent"] == span.context.header


@pytest.mark.parametrize(("allowed_s", "outcome"), [(0.001, "caller_deadline"), (2.0, "deadline_exceeded")])
def test_a_caller_in_a_hurry_has_himself_to_blame(allowed_s: float, outcome: str) -> None:
    told: list[RequestEnded[str]] = []
    watch: Watch[str] = Watch(Tracer(), (told.append,), patience_s=2.0)
    watched = watch.request("/v1/classify", {})
    watched.allowed(allowed_s)
    with pytest.raises(DeadlineExceeded), watched:
        raise DeadlineExceeded("time is up")
    assert told[0].outcome == outcome


def _is_past(at_s: float) -> bool:
    return time.perf_counter() > at_s


def test_how_long_the_body_takes_is_the_callers_doing() -> None:
    told: list[RequestEnded[str]] = []
    watch: Watch[str] = Watch(Tracer(), (told.append,))
    for is_read in (True, False):
        with watch.request("/v1/classify", {}) as watched:
            ends_s = time.perf_counter() + 0.05
            until(partial(_is_past, ends_s), 5)
            if is_read:
                watched.received(3)
    assert told[0].seconds < 0.05
    assert told[1].seconds == 0


def test_whoever_is_told_cannot_change_what_he_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    told: list[RequestEnded[str]] = []

    def stumbles(_: RequestEnded[str]) -> None:
        raise ValueError("a defect")

    watch: Watch[str] = Watch(Tracer(), (stumbles, told.append))
    with watch.request("/v1/classify", {}):
        pass
    assert [ended.outcome for ended in told] == ["ok"]
    assert "a defect" in caplog.text


def test_a_refusal_is_a_request_too() -> None:
    told: list[RequestEnded[str]] = []
    watch: Watch[str] = Watch(Tracer(), (told.append,))
    watch.refused("/v1/classify", {"x-request-id": "mine"}, RateLimited("too often"))
    assert [(ended.outcome, ended.request_id) for ended in told] == [("rate_limited", "mine")]


@pytest.mark.parametrize("given", ["a b", "x" * 129, "\x1b[2J", ""])
def test_an_id_that_cannot_stand_anywhere_is_none(given: str) -> None:
    watch: Watch[str] = Watch(Tracer(), ())
    assert watch.request("classifier", {"x-request-id": given}).request_id == ""


def _below(kind: type[SplitwayError]) -> set[str]:
    return {kind.code}.union(*map(_below, kind.__subclasses__()))


def test_every_error_that_travels_is_the_callers_or_ours() -> None:
    assert not CALLERS & OURS
    assert {*_below(RequestError), *_below(ServingError), SplitwayError.code, HURRIED} == CALLERS | OURS
