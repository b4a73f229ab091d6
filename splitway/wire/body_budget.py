"""The memory that one process has for request bodies, counted in bytes as they come in.

A body may grow no larger than what then stays free, of all and of its caller's share: many large ones stop each other
early, and there is always room for a small one. The one body of a process, or of a caller, has only the body limit
above it.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from traceback import clear_frames
from types import TracebackType
from typing import Any

from splitway.errors import Overloaded

CallerOf = Callable[[Mapping[str, Any]], str]
"""Says whose request an ASGI scope is."""
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


class BodyBudget:
    """What all requests of one process take together.

    Args:
        most_bytes: for all bodies.
        share: of it for one caller, above 0 up to 1.
        caller_of: says whose a request is.
    """

    def __init__(self, most_bytes: int, share: float, caller_of: CallerOf) -> None:
        self.held_bytes = 0
        self.refused: Counter[Refused] = Counter()
        self.most_bytes = most_bytes
        self._most_of_one_bytes = int(most_bytes * share)
        self._caller_of = caller_of
        self._by_caller: Counter[str] = Counter()
        self._left_bytes = 0

    def charge(self, scope: Mapping[str, Any]) -> BodyCharge:
        """What the request of this ASGI scope will take; a context manager, at whose end it is given back."""
        return BodyCharge(self, scope)

    def take(self, scope: Mapping[str, Any], held: int, size: int) -> None:
        """Take `size` bytes more for a request that holds `held`. Raises Overloaded where there is no room for them."""
        caller, body = self._caller_of(scope), held + size
        of_all, of_caller = self.held_bytes + size, self._by_caller[caller] + size
        if of_all > body > self.most_bytes - of_all:
            raise self._refusal(Refused.FULL, "the bodies of other requests take the memory for them")
        if of_caller > body > self._most_of_one_bytes - of_caller:
            raise self._refusal(Refused.SHARE, "the bodies of your other requests take your share of the memory")
        self._add(caller, size)

    def give_back(self, scope: Mapping[str, Any], size: int) -> None:
        """Give back bytes that were taken."""
        self._add(self._caller_of(scope), -size)

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

    def _add(self, caller: str, size: int) -> None:
        self.held_bytes += size
        self._by_caller[caller] += size
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def _refusal(self, why: Refused, words: str) -> Overloaded:
        self.refused[why] += 1
        return Overloaded(f"{words}; send the request again in a moment", retry_after_s=_RETRY_AFTER_S)


class BodyCharge:
    """What one request takes, from its body's first bytes until it is answered.

    A class and no generator, which would cost three times as much.
    """

    __slots__ = ("_budget", "_held", "_scope")

    def __init__(self, budget: BodyBudget, scope: Mapping[str, Any]) -> None:
        self._budget = budget
        self._scope = scope
        self._held = 0

    def add(self, size: int) -> None:
        """Take `size` bytes more. Raises Overloaded where there is no room for them."""
        self._budget.take(self._scope, self._held, size)
        self._held += size

    def becomes(self, size: int) -> None:
        """Hold `size` bytes from now on: the body has been made into something else. Raises Overloaded."""
        if size > self._held:
            self.add(size - self._held)
        elif self._held:
            self._budget.give_back(self._scope, self._held - size)
            self._held = size

    def __enter__(self) -> BodyCharge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._held:
            if error is not None:
                _forget_calls(error)
                self._budget.may_be_left(self._held)
            self._budget.give_back(self._scope, self._held)
            self._held = 0


def _forget_calls(error: BaseException) -> None:
    """Empty the calls that an error and its causes hold: they hold the body until the error has been counted."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # `from` may lead in a circle
        seen.add(id(cause))
        clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
