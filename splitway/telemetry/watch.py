"""One request followed from its arrival to its end, however it ends; whoever wants to know is told once."""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

from splitway.telemetry.outcome import outcome_name
from splitway.telemetry.trace import Span, Tracer

REQUEST_ID = "x-request-id"
Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class RequestEnded(Generic[Facts]):
    """A request to this process ended."""

    name: str
    """The route, or at a stage the model."""
    outcome: str
    """`ok`, an error's code, or `cancelled`."""
    seconds: float
    request_id: str
    trace_id: str
    received_bytes: int
    """Of the body."""
    sent_bytes: int
    """Of the answer's body; 0 for an error's."""
    error: BaseException | None
    facts: Facts | None
    """What the app knows of it, where it came so far."""


Subscriber = Callable[[RequestEnded[Facts]], None]


class Watched(Generic[Facts]):
    """A request that is being followed; a context manager around all that is done for it.

    A class and no generator, which would cost three times as much.
    """

    __slots__ = ("_name", "_started_s", "_watch", "facts", "received_bytes", "request_id", "sent_bytes", "span")

    def __init__(self, watch: Watch[Facts], name: str, headers: MutableMapping[str, str], *, remember: bool) -> None:
        self._watch = watch
        self._name = name
        self._started_s = time.perf_counter()
        self.span: Span = watch.tracer.begin(name, headers, remember=remember)
        self.request_id = headers.get(REQUEST_ID, "")
        self.received_bytes = 0
        self.sent_bytes = 0
        self.facts: Facts | None = None

    @property
    def seconds(self) -> float:
        """Since it came in."""
        return time.perf_counter() - self._started_s

    def __enter__(self) -> Watched[Facts]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        outcome = outcome_name(error)
        span, name = self.span, self._name
        if span.recorded:
            span.end(outcome)
            self._watch.tracer.ended(span)
        received, sent = self.received_bytes, self.sent_bytes
        trace_id = span.context.trace_id
        ended = RequestEnded(name, outcome, self.seconds, self.request_id, trace_id, received, sent, error, self.facts)
        for subscriber in self._watch.subscribers:
            subscriber(ended)


class Watch(Generic[Facts]):
    """Follows the requests of one process.

    Args:
        tracer: begins their traces.
        subscribers: told of each one's end.
    """

    def __init__(self, tracer: Tracer, subscribers: Sequence[Subscriber[Facts]]) -> None:
        self.tracer = tracer
        self.subscribers = subscribers

    def request(self, name: str, headers: MutableMapping[str, str], *, remember: bool = False) -> Watched[Facts]:
        """Follow a request; afterwards `headers` hold the trace context with which its calls travel on.

        Args:
            name: the route, or the model.
            headers: the request's, by lower-case name.
            remember: keep its spans, for a time line.
        """
        return Watched(self, name, headers, remember=remember)
