"""One request followed from its arrival to its end, however it ends; its subscribers are told once."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from splitway.errors import DeadlineExceeded, SplitwayError
from splitway.names import REQUEST_ID_HEADER
from splitway.telemetry.outcome import HURRIED
from splitway.telemetry.trace import Span, Tracer, outcome_name

Event = TypeVar("Event")
_log = logging.getLogger(__name__)
_LATER_S = 0.2
_MOST = 256


class Mailbox(Generic[Event]):
    """Hands events to their readers in order, on the event loop, a little later and several at a time; at once where no
    loop runs.

    On a request's way an event costs an append. Counting is short work, but code that has gone cold between two
    requests takes many times as long as when it has just run; and no answer waits for the counting.

    Args:
        readers: each takes one event. What one of them raises is logged, and keeps nothing from the others.
    """

    def __init__(self, readers: Sequence[Callable[[Event], None]]) -> None:
        self._readers = readers
        self._events: list[Event] = []
        self._waits = False

    def put(self, event: Event) -> None:
        """Have an event read soon."""
        self._events.append(event)
        if not self._waits:
            self._wait()
        elif len(self._events) >= _MOST:
            self.settle()

    def settle(self) -> None:
        """Have everything read now."""
        events, self._events = self._events, []
        for event in events:
            for read in self._readers:
                try:
                    read(event)
                except Exception:
                    _log.exception("reading %s", type(event).__name__)

    def _wait(self) -> None:
        try:
            asyncio.get_running_loop().call_later(_LATER_S, self._in_time)
        except RuntimeError:  # no loop
            self.settle()
        else:
            self._waits = True

    def _in_time(self) -> None:
        self._waits = False
        self.settle()


_USABLE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
Facts = TypeVar("Facts")


def usable_id(text: str | None) -> str | None:
    """A request id that came from outside, if it is one that can stand anywhere."""
    return text if text is not None and _USABLE_ID.fullmatch(text) else None


class RequestEnded(NamedTuple, Generic[Facts]):
    """A request to this process ended. (A named tuple is made in a third of a dataclass' time.)"""

    name: str
    """The route, or at a stage the model."""
    outcome: str
    """`ok`, an error's code, `cancelled`, or `caller_deadline`."""
    seconds: float
    """Since its body had been read; 0 where it never was. How long it takes to come in is the caller's doing."""
    request_id: str
    trace_id: str
    received_bytes: int
    """Of the body."""
    sent_bytes: int
    """Of the answer's body; 0 for an error's."""
    error: BaseException | None
    facts: Facts | None
    """What the app knows of it, where it came so far."""
    caller: str = ""
    """The id of its caller, where callers show who they are."""
    at_s: float = 0.0
    """When it ended, in seconds since 1970."""
    began_s: float = 0.0
    ended_s: float = 0.0
    """By `time.perf_counter`."""
    way: Sequence[Any] = ()
    """What was noted on its way, in order."""


Subscriber = Callable[[RequestEnded[Facts]], None]


class Watched(Generic[Facts]):
    """A request that is being followed; a context manager around all that is done for it.

    A class and no generator, which would cost three times as much.
    """

    __slots__ = (
        "_hurried",
        "_name",
        "_received_s",
        "_watch",
        "began_s",
        "caller",
        "facts",
        "received_bytes",
        "request_id",
        "sent_bytes",
        "span",
        "way",
    )

    def __init__(self, watch: Watch[Facts], name: str, headers: MutableMapping[str, str]) -> None:
        self._watch = watch
        self._name = name
        self.span: Span = watch.tracer.begin(name, headers)
        self.began_s = time.perf_counter()
        self.way: list[Any] = []
        self.request_id = usable_id(headers.get(REQUEST_ID_HEADER)) or ""
        self._received_s: float | None = None
        self._hurried = False
        self.received_bytes = 0
        self.sent_bytes = 0
        self.facts: Facts | None = None
        self.caller = ""

    def allowed(self, seconds: float) -> None:
        """Note how long the caller waits at most."""
        self._hurried = seconds < self._watch.patience_s

    def received(self, size: int) -> None:
        """Note that the body has been read, and how many bytes it has."""
        self.received_bytes, self._received_s = size, time.perf_counter()

    def __enter__(self) -> Watched[Facts]:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        outcome = outcome_name(error)
        span, name = self.span, self._name
        if span.recorded:
            span.end(outcome)
            self._watch.tracer.ended(span)
        if self._hurried and isinstance(error, DeadlineExceeded):
            outcome = HURRIED
        ended_s = time.perf_counter()
        ended = RequestEnded(
            name,
            outcome,
            0.0 if self._received_s is None else ended_s - self._received_s,
            self.request_id,
            span.trace_id,
            self.received_bytes,
            self.sent_bytes,
            error,
            self.facts,
            self.caller,
            time.time(),
            self.began_s,
            ended_s,
            self.way,
        )
        self._watch.ended.put(ended)


class Watch(Generic[Facts]):
    """Follows the requests of one process.

    Args:
        tracer: begins their traces.
        subscribers: told of each one's end, a little later.
        patience_s: timeouts below this count as the caller's fault, not as a server error.
    """

    def __init__(self, tracer: Tracer, subscribers: Sequence[Subscriber[Facts]], *, patience_s: float = 0.0) -> None:
        self.tracer = tracer
        self.patience_s = patience_s
        self.ended: Mailbox[RequestEnded[Facts]] = Mailbox(subscribers)

    def request(self, name: str, headers: MutableMapping[str, str]) -> Watched[Facts]:
        """Follow a request, by its route or model; `headers` are as in `Tracer.begin`."""
        return Watched(self, name, headers)

    def refused(self, name: str, headers: Mapping[str, str], error: SplitwayError, caller: str = "") -> None:
        """Tell of a request that ended before anything was done for it."""
        with suppress(SplitwayError), self.request(name, dict(headers)) as watched:
            watched.caller = caller
            raise error
