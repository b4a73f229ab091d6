"""A request's query and headers, as the gateway and the stages read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from splitway.errors import SplitwayError
from splitway.gateway.edge.intake import MAX_HEADS, read_heads, read_timeline, read_top_k
from splitway.gateway.hop.stage_client import FORWARDED_HEADERS
from splitway.gateway.rollout.record import RollbackPolicy
from splitway.gateway.rollout.rollout import Rollout, in_share
from splitway.gateway.transport.http1 import request_head
from splitway.http.body import packing_asked_for, plain_headers
from splitway.names import KEY_HEADER
from splitway.telemetry.trace import Tracer, read_traceparent
from splitway.telemetry.watch import usable_id
from splitway.wire.deadline import read_deadline
from tests.fuzz.target import Target

_MAX_S = 30.0
_ROLLOUT = Rollout(None, RollbackPolicy(60, 20, 0.1, 0.3), lambda: 0.0, lambda: 0.5, lambda _: frozenset())
_UNSENDABLE = b"\r\n\0"
"""What no HTTP parser lets through in a header."""


def run(data: bytes) -> None:
    query, *rest = data.split(b"\n")
    pairs = [line.partition(b": ")[::2] for line in rest if not any(byte in line for byte in _UNSENDABLE)]
    headers_in = [(name.lower(), value.strip()) for name, value in pairs]
    request = Request({"type": "http", "method": "POST", "query_string": query, "headers": headers_in})
    headers = plain_headers(request)
    for read in (_query, _times, _release):
        with suppress(SplitwayError):
            read(request, headers)
    _travels_on(headers)


def _query(request: Request, _: dict[str, str]) -> None:
    heads: list[Callable[[Request], Any]] = [read_heads, read_timeline, read_top_k]
    found = [read(request) for read in heads]
    assert len(found[0]) <= MAX_HEADS
    assert 1 <= found[2].top_k <= 100


def _times(_: Request, headers: dict[str, str]) -> None:
    deadline = read_deadline(headers, default_s=10, max_s=_MAX_S)
    assert deadline.remaining_s <= _MAX_S
    assert 1 <= int(deadline.header()) <= _MAX_S * 1000


def _release(_: Request, headers: dict[str, str]) -> None:
    _ROLLOUT.choose(headers, lambda _: ())
    in_share(50, "release", headers.get(KEY_HEADER), lambda: 0.5)


def _travels_on(headers: dict[str, str]) -> None:
    """What is forwarded to the stages makes one request with one value for each header."""
    assert packing_asked_for(headers.get("accept-encoding")) in (None, "gzip", "deflate")
    context = read_traceparent(headers.get("traceparent"))
    assert context is None or read_traceparent(context.header) == context
    Tracer().begin("/v1/classify", headers)
    assert read_traceparent(headers["traceparent"]) is not None
    id_ = usable_id(headers.get("x-request-id"))
    kept = {name: headers[name] for name in FORWARDED_HEADERS if name in headers} | {"x-request-id": id_ or "none"}
    _, sent = request_head("POST", "http://stage/infer", kept, 3, "")
    assert sent.count(b"\r\n") == len(kept) + 4


def seeds() -> Iterator[bytes]:
    trace = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\ntracestate: a=b,c=d"
    yield b"top_k=3&heads=classifier,digits&timeline=true\nx-request-timeout-ms: 2500\nx-request-id: abc\n" + trace
    yield b"heads=*\nx-envoy-expected-rq-timeout-ms: 10.5\naccept-encoding: gzip\nx-splitway-release: r1"
    yield b"\nx-splitway-canary: always\nx-splitway-key: caller\naccept-encoding: gzip, br"
    yield b"timeline=1\nx-request-timeout-ms: 1e-320"


TARGET = Target(
    run,
    seeds,
    (
        "top_k=",
        "heads=",
        "timeline=",
        "x-request-timeout-ms: ",
        "x-request-id: ",
        "traceparent: ",
        "tracestate: ",
        "1e308",
        "x-splitway-release: ",
        "x-splitway-key: ",
        "x-splitway-canary: never",
        "nan",
        "inf",
        "%2C",
    ),
    max_bytes=1024,
)
