"""Traces: the context that travels from hop to hop (W3C Trace Context), and spans that are kept until a request ends.

An untraced request has one span that records nothing; each step on its way costs one call. Spans are plain objects with
their own ids, so that a stage's parent is known before the attempt has ended. They are exported (`otel`) afterwards.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Literal

from splitway.errors import SplitwayError
from splitway.telemetry.outcome import CANCELLED, OK

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
Kind = Literal["server", "client", "internal"]
Attribute = str | int | float | bool
_FORM = re.compile(  # version 00 ends with the flags; of a later one, more may follow
    r"(?!ff|00.{53}.)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII
)

_LENGTH = 55
_MOST_OF_STATE = 512
_MEMBER = r"[ \t]*[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{1,256}"
_STATE = re.compile(f"{_MEMBER}(?:,{_MEMBER})*")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which trace, which span of it, and whether the trace is kept."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    sampled: bool

    @classmethod
    def new(cls, *, sampled: bool = False) -> TraceContext:
        return cls(f"{random.getrandbits(128) or 1:032x}", _span_id(), sampled)

    def below(self) -> TraceContext:
        """The context of a new span in the same trace."""
        return TraceContext(self.trace_id, _span_id(), self.sampled)

    @property
    def header(self) -> str:
        """As `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def _span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"


def read_traceparent(text: str | None) -> TraceContext | None:
    """Read a `traceparent` header; None where there is none that can be read, so that a new trace begins."""
    found = _FORM.fullmatch(text) if text else None
    return None if found is None else TraceContext(found[1], found[2], bool(int(found[3], 16) & 1))


def taken_over(headers: MutableMapping[str, str], *, callers_decide: bool) -> str | None:
    """Return the `traceparent` with which a request came; None where there is none that can be read.

    Afterwards `headers` hold what is to travel on: no member of a later version, no `tracestate` that is none or is
    longer than W3C asks to be passed on.

    Args:
        headers: the request's, by lower-case name.
        callers_decide: whether it stays marked as kept where its caller marked it so.
    """
    given = headers.get(TRACEPARENT)
    if given is None or _FORM.fullmatch(given) is None:
        return None
    if len(given) > _LENGTH or not callers_decide:
        given = headers[TRACEPARENT] = f"00-{given[3:52]}-{given[53:55] if callers_decide else '00'}"
    state = headers.get(TRACESTATE)
    if state is not None and not (len(state) <= _MOST_OF_STATE and _STATE.fullmatch(state)):
        del headers[TRACESTATE]
    return given


class Span:
    """A piece of a request's work that is remembered, of a kind as OpenTelemetry has it.

    Its parent may be another process's; the first of a trace has none. It starts now, if not at `started_s` on the
    monotonic clock.
    """

    recorded = True
    exported = False
    """Whether it will be exported, so that other processes' spans can be its children."""

    def __init__(
        self,
        name: str,
        context: TraceContext,
        parent: TraceContext | None,
        kind: Kind = "internal",
        attributes: Mapping[str, Attribute] | None = None,
        started_s: float | None = None,
    ) -> None:
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.attributes: dict[str, Attribute] = dict(attributes or {})
        self.links: Sequence[TraceContext] = ()
        self.children: list[Span] = []
        self.started_s = time.monotonic() if started_s is None else started_s
        self.ended_s: float | None = None
        self.outcome = "ok"

    @property
    def trace_id(self) -> str:
        return self.context.trace_id

    def child(self, name: str, kind: Kind = "internal", **attributes: Attribute) -> Span:
        """Begin a piece of this one; it is a context manager, or is ended by `end`."""
        span = Span(name, self.context.below(), self.context, kind, attributes)
        span.exported = self.exported
        self.children.append(span)
        return span

    def add(self, name: str, started_s: float, ended_s: float, **attributes: Attribute) -> Span:
        """Add a piece that is over, by the monotonic clock."""
        span = Span(name, self.context.below(), self.context, "internal", attributes, started_s)
        span.ended_s = ended_s
        self.children.append(span)
        return span

    def end(self, outcome: str = "ok") -> None:
        """Say that it is over, and how: `ok`, an error's code, or `cancelled`."""
        self.ended_s, self.outcome = time.monotonic(), outcome

    def __enter__(self) -> Span:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        self.end(outcome_name(error))


class Unrecorded(Span):
    """A span that remembers nothing but its trace, by a header that can be read, and is its own child."""

    recorded = False

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent

    @property
    def trace_id(self) -> str:
        return self._traceparent[3:35]

    def child(self, name: str, kind: Kind = "internal", **attributes: Attribute) -> Span:
        return self

    def add(self, name: str, started_s: float, ended_s: float, **attributes: Attribute) -> Span:
        return self

    def end(self, outcome: str = "ok") -> None:
        """There is nothing to remember."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        """There is nothing to remember."""


UNRECORDED = Unrecorded(f"00-{'0' * 32}-{'0' * 16}-00")
"""For work that belongs to no request."""


class Tracer:
    """Begins the span of a request, and takes it when it is over. This one exports nothing: traces travel on, and begin
    here where none came.

    Args:
        callers_decide: whether a caller may mark a trace as one that is kept.
    """

    def __init__(self, *, callers_decide: bool = True) -> None:
        self._callers_decide = callers_decide

    def begin(self, name: str, headers: MutableMapping[str, str]) -> Span:
        """Begin a request's span; afterwards `headers` hold the trace context with which its calls travel on.

        Args:
            name: what is asked for.
            headers: the request's, by lower-case name.
        """
        given = taken_over(headers, callers_decide=self._callers_decide)
        if given is not None:
            return Unrecorded(given)
        return begun_here(name, headers, TraceContext.new(), recorded=False)

    def ended(self, span: Span) -> None:
        """Take a span whose request is over, with all its children."""

    def close(self) -> None:
        """Send what has not been sent. May take two seconds: to be called in a thread."""


def begun_here(name: str, headers: MutableMapping[str, str], context: TraceContext, *, recorded: bool) -> Span:
    """Begin a trace; unreadable trace headers of the request are not passed on."""
    headers[TRACEPARENT] = context.header
    headers.pop(TRACESTATE, None)
    return Span(name, context, None, "server") if recorded else Unrecorded(headers[TRACEPARENT])


def outcome_name(error: BaseException | None) -> str:
    """`ok`, the error's code, or `cancelled` if the caller disconnected."""
    if error is None:
        return OK
    if isinstance(error, SplitwayError):
        return error.code
    if not isinstance(error, Exception):
        return CANCELLED
    from starlette.requests import ClientDisconnect  # noqa: PLC0415 - what runs in one process needs no server

    return CANCELLED if isinstance(error, ClientDisconnect) else SplitwayError.code
