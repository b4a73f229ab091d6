"""The memory that one process has for request bodies, counted in bytes as they come in.

A body may grow no larger than what then stays free, of all and of its caller's share: many large ones stop each other
early, and there is always room for a small one. The one body of a process, or of a caller, has only the body limit
above it. Before one is refused, those end that come in too slowly: the slowest first.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from traceback import clear_frames
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from splitway.errors import Overloaded, SlowBody
from splitway.wire.deadline import Clock

CallerOf = Callable[[Mapping[str, Any]], str]
"""Says whose request an ASGI scope is."""
GRACE_S = 2.0
"""So long a body is watched before it is called slow; what came earlier counts no more."""
_RETRY_AFTER_S = 1.0
_COLLECT_AT_BYTES = 16 * 1024 * 1024
_COLLECT_AFTER_S = 0.5
"""When the errors have been counted, which hold such bodies too."""


class Refused(StrEnum):
    """What there was no room in."""

    FULL = "full"
    """The memory for all bodies."""
    SHARE = "share"
    """The caller's share of it."""
    SLOW = "slow"
    """It came in too slowly while another needed the memory."""


_WORDS = {
    Refused.FULL: "the bodies of other requests use all memory for bodies",
    Refused.SHARE: "the bodies of your other requests use your share of the memory",
}


class BodyBudget:
    """What all requests of one process take together.

    Args:
        most_bytes: for all bodies.
        share: of it for one caller, above 0 up to 1.
        caller_of: says whose a request is.
        least_rate: bytes a second at which a body must come in where another needs its memory; 0 for any.
    """

    def __init__(
        self,
        most_bytes: int,
        share: float,
        caller_of: CallerOf,
        least_rate: float = 0.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self.held_bytes = 0
        self.refused: Counter[Refused] = Counter()
        self._most_bytes = most_bytes
        self._most_of_one_bytes = int(most_bytes * share)
        self.caller_of = caller_of
        self._by_caller: Counter[str] = Counter()
        self._left_bytes = 0
        self._least_rate = least_rate
        self.clock = clock
        self.arriving: dict[BodyCharge, Arrival] = {}
        """Those that are being read."""

    def charge(self, scope: Mapping[str, Any]) -> BodyCharge:
        """What the request of this ASGI scope will take; a context manager, at whose end it is given back."""
        return BodyCharge(self, scope)

    def take(self, charge: BodyCharge, size: int) -> None:
        """Take `size` bytes more for a request. Raises Overloaded where there is no room for them."""
        caller = self.caller_of(charge.scope)
        while (lacking := self._lacking(caller, charge.held, size)) is not None:
            slow = self._slowest(charge, caller if lacking is Refused.SHARE else None)
            if slow is None:
                self.refused[lacking] += 1
                what = f"{_WORDS[lacking]}; send the request again in a moment"
                raise Overloaded(what, retry_after_s=_RETRY_AFTER_S)
            self.refused[Refused.SLOW] += 1
            slow.end()
        self.add(caller, size)

    def _lacking(self, caller: str, held: int, size: int) -> Refused | None:
        """What there is no room in for a body that grows; None where there is room."""
        body = held + size
        of_all, of_caller = self.held_bytes + size, self._by_caller[caller] + size
        if of_all > body > self._most_bytes - of_all:
            return Refused.FULL
        if of_caller > body > self._most_of_one_bytes - of_caller:
            return Refused.SHARE
        return None

    def _slowest(self, asks: BodyCharge, caller: str | None) -> BodyCharge | None:
        """The body that makes room for another: of a caller, or of all; none for one that is slow itself."""
        slow = {
            charge: arrival.rate
            for charge, arrival in self.arriving.items()
            if arrival.rate < self._least_rate and (caller is None or self.caller_of(charge.scope) == caller)
        }
        return None if asks in slow else min(slow, key=slow.__getitem__, default=None)

    def may_be_left(self, size: int) -> None:
        """A request with a body of this size has failed, and may have left it in a circle of errors and calls.

        The collector counts objects and not bytes: it is called when such bodies are many bytes.
        """
        before, self._left_bytes = self._left_bytes, self._left_bytes + size
        if before < _COLLECT_AT_BYTES <= self._left_bytes:
            asyncio.get_running_loop().call_later(_COLLECT_AFTER_S, self._collect)

    def _collect(self) -> None:
        self._left_bytes = 0
        gc.collect(1)

    def add(self, caller: str, size: int) -> None:
        """Count bytes that a caller holds from now on, or no more."""
        self.held_bytes += size
        self._by_caller[caller] += size
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def metrics(self, prefix: str) -> Iterator[Metric]:
        """The bytes that are held, those that may be, and the bodies there was no room for; all names begin so."""
        yield GaugeMetricFamily(f"{prefix}_body_bytes", "Bytes of request bodies in memory.", self.held_bytes)
        says = "Limit on bytes of request bodies in memory."
        yield GaugeMetricFamily(f"{prefix}_body_memory_bytes", says, self._most_bytes)
        says = "Requests refused for lack of memory for bodies, by reason."
        refused = CounterMetricFamily(f"{prefix}_bodies_refused", says, labels=["reason"])
        for reason in Refused:
            refused.add_metric([reason], self.refused[reason])
        yield refused


class Arrival:
    """A body that is being read, until the timeout ends that."""

    __slots__ = ("_bytes", "_clock", "_rate", "_since_s", "_timeout")

    def __init__(self, timeout: asyncio.Timeout, clock: Clock) -> None:
        self._timeout = timeout
        self._clock = clock
        self._since_s, self._bytes, self._rate = clock(), 0, math.inf

    def came(self, size: int) -> None:
        """Note bytes that have come."""
        elapsed_s = self._clock() - self._since_s
        if elapsed_s >= GRACE_S:
            self._rate = self._bytes / elapsed_s
            self._since_s, self._bytes = self._since_s + elapsed_s, 0
        self._bytes += size

    @property
    def rate(self) -> float:
        """Bytes a second of late; infinity for a body that has just begun."""
        elapsed_s = self._clock() - self._since_s
        return self._bytes / elapsed_s if elapsed_s >= GRACE_S else self._rate

    def end(self) -> None:
        """Let no more of it be read."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._timeout.reschedule(asyncio.get_running_loop().time())


class BodyCharge:
    """What one request takes, from its body's first bytes until it is answered.

    A class and no generator, which would cost three times as much.
    """

    __slots__ = ("_budget", "_is_ended", "held", "scope")

    def __init__(self, budget: BodyBudget, scope: Mapping[str, Any]) -> None:
        self.scope = scope
        self.held = 0
        self._budget = budget
        self._is_ended = False

    def add(self, size: int) -> None:
        """Take `size` bytes more. Raises Overloaded where there is no room for them, SlowBody where it was ended."""
        if self._is_ended:
            raise self.too_slow()
        self._budget.take(self, size)
        self.held += size
        if (arrival := self._budget.arriving.get(self)) is not None:
            arrival.came(size)

    def arrives(self, timeout: asyncio.Timeout) -> None:
        """The rest is read from now on, until `timeout` ends it: it may have to make room for others."""
        if self not in self._budget.arriving:
            self._budget.arriving[self] = Arrival(timeout, self._budget.clock)

    def has_arrived(self) -> None:
        """All is read that ever will be."""
        self._budget.arriving.pop(self, None)

    def end(self) -> None:
        """Give back what it holds, and let no more of it be read."""
        self._is_ended = True
        self._give_back(self.held)
        self._budget.arriving.pop(self).end()

    def too_slow(self) -> SlowBody:
        """What to say of a body that did not arrive in its time, or was ended before."""
        if not self._is_ended:
            return SlowBody("the body did not arrive in time")
        return SlowBody("the body arrives too slowly while other requests need its memory; send it again in a moment")

    def becomes(self, size: int) -> None:
        """Hold `size` bytes from now on: the body has been made into something else. Raises Overloaded."""
        if size > self.held:
            self.add(size - self.held)
        else:
            self._give_back(self.held - size)

    def _give_back(self, size: int) -> None:
        if size:
            self._budget.add(self._budget.caller_of(self.scope), -size)
            self.held -= size

    def __enter__(self) -> BodyCharge:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self.held:
            if error is not None:
                _forget_calls(error)
                self._budget.may_be_left(self.held)
            self._give_back(self.held)


def _forget_calls(error: BaseException) -> None:
    """Empty the calls that an error and its causes hold: they hold the body until the error has been counted."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # causes may go round in a circle
        seen.add(id(cause))
        clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
