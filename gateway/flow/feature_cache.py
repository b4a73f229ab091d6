"""Features of pictures that have been seen before: the head is run again, the backbone is not.

The key is the picture's SHA-256, the feature space and the extractor's version, so that features never meet a head of
another space. Equal pictures that arrive at the same time are extracted once (single flight). What is kept are the
bytes of the extractor's answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from copy import copy
from enum import StrEnum
from typing import NamedTuple, Protocol

from splitway.errors import (
    BadStageAnswer,
    DeadlineExceeded,
    InvalidInput,
    SplitwayError,
    TooLarge,
    UnsupportedMediaType,
)
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.hop.turn import HopAnswer, HopTimings
from splitway.gateway.hop.verdict import check_kept
from splitway.wire.aside import by_size
from splitway.wire.deadline import Deadline
from splitway.wire.messages import FEATURE_SPACE, InferRequest, InferResponse
from splitway.wire.v2_json import build_response, parse_response

_BINARY = InferRequest((), parameters={"binary_data_output": True})
_OF_THE_PICTURE = (InvalidInput, TooLarge, UnsupportedMediaType)
"""Errors that an equal picture gets too."""
Extract = Callable[[], Awaitable[HopAnswer]]
_log = logging.getLogger(__name__)
_OVERHEAD_BYTES = 200
"""Of one entry in memory, beside its key and value."""


class CacheResult(StrEnum):
    """How a request met the cache."""

    HIT = "hit"
    MISS = "miss"
    STORED = "stored"
    """A miss whose features were kept."""
    COLLAPSED = "collapsed"
    BYPASS = "bypass"

    @property
    def header(self) -> str:
        """As `Cache-Status` (RFC 9211) says it."""
        return {
            CacheResult.HIT: "splitway; hit",
            CacheResult.MISS: "splitway; fwd=uri-miss",
            CacheResult.STORED: "splitway; fwd=uri-miss; stored",
            CacheResult.COLLAPSED: "splitway; fwd=uri-miss; collapsed",
            CacheResult.BYPASS: "splitway; fwd=bypass",
        }[self]


class FeatureStore(Protocol):
    """Where features are kept. It may forget at any time, and never fails."""

    bytes_held: int
    """Of this process's memory."""

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under a key."""

    async def put(self, key: str, value: bytes) -> bool:
        """Keep a value for as long as there is room; say whether it was taken."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryStore:
    """The values used last, up to so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self.bytes_held = 0

    async def get(self, key: str) -> bytes | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes) -> bool:
        if _size(key, value) > self._max_bytes:
            return False
        self._forget(key)
        self._values[key] = value
        self.bytes_held += _size(key, value)
        while self.bytes_held > self._max_bytes:
            self._forget(next(iter(self._values)))
        return True

    def _forget(self, key: str) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self.bytes_held -= _size(key, value)

    async def close(self) -> None:
        self._values.clear()
        self.bytes_held = 0


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD_BYTES


class FeatureCache:
    """Asks the store first and the extractor once."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self._under_way: dict[str, asyncio.Future[InferResponse]] = {}
        self.results: Counter[CacheResult] = Counter()

    async def features(
        self,
        picture: bytes | memoryview,
        model: ServedModel,
        extract: Extract,
        deadline: Deadline,
        *,
        may_be_kept: bool = True,
    ) -> tuple[HopAnswer, CacheResult]:
        """Return a picture's features as this version of the extractor gives them.

        A request that meets an equal one under way waits for its end. If that fails, all who waited ask at once, each
        for itself; if its caller only leaves, or allowed it less time, one of them takes over, and that once.

        Args:
            picture: as it was encoded.
            model: what the extractors are called at now; another version of the same space may round otherwise, and a
                canary must be run.
            extract: asks an extractor; called at most once.
            deadline: how long the caller waits for another request's extraction.
            may_be_kept: False where what was kept did not serve: they are extracted now, and replace it.

        Raises:
            DeadlineExceeded: another request's extraction took too long.
            SplitwayError: of `extract`; of another's, if the picture itself is at fault.
        """
        began_s = time.perf_counter()
        wanted = _Wanted(await _key(picture, model), model, extract, began_s)
        takes_over = True
        while may_be_kept:
            flight = self._under_way.get(wanted.key)
            if flight is None:
                return await self._lead(wanted, deadline)
            given = await _another(flight, deadline)
            if given is not None:
                return wanted.answer(given), self.count(CacheResult.COLLAPSED)
            if not (flight.cancelled() and takes_over):
                break
            takes_over = False
        answer = await extract()
        stored = await self._keep(wanted, answer.response)
        return answer, self.count(stored if may_be_kept else CacheResult.BYPASS)

    async def _lead(self, wanted: _Wanted, deadline: Deadline) -> tuple[HopAnswer, CacheResult]:
        """Look into the store, then extract; equal requests that arrive meanwhile wait for the same."""
        flight: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        self._under_way[wanted.key] = flight
        try:
            kept = await self._kept(wanted)
            answer = await wanted.extract() if kept is None else wanted.answer(kept)
            if wanted.is_given_by(answer.response):
                flight.set_result(answer.response)
            else:
                flight.set_exception(BadStageAnswer("the extractors have moved on"))
        except SplitwayError as error:
            if not (isinstance(error, DeadlineExceeded) and deadline.expired):  # else it is this caller's time alone
                flight.set_exception(error)
            raise
        finally:
            del self._under_way[wanted.key]
            if not flight.cancel() and not flight.cancelled():
                flight.exception()  # looked at, whether another request waits or not
        if kept is not None:
            return answer, self.count(CacheResult.HIT)
        return answer, self.count(await self._keep(wanted, answer.response))

    async def _keep(self, wanted: _Wanted, response: InferResponse) -> CacheResult:
        """Store what is what the key says; extractors may have moved on since it was made."""
        stored = wanted.is_given_by(response) and await self.store.put(wanted.key, _packed(response))
        return CacheResult.STORED if stored else CacheResult.MISS

    async def _kept(self, wanted: _Wanted) -> InferResponse | None:
        """The stored entry; an unreadable or implausible one counts as missing and is replaced."""
        kept = await self.store.get(wanted.key)
        if kept is None:
            return None
        try:
            response = _unpacked(kept)
            check_kept(wanted.model, response)
            return response
        except (SplitwayError, UnicodeDecodeError) as error:
            _log.warning("the feature cache's entry %s is unusable: %s", wanted.key, error)
            return None

    def count(self, result: CacheResult) -> CacheResult:
        """Count how a request met the cache."""
        self.results[result] += 1
        return result


class _Wanted(NamedTuple):
    """Features that a request wants: the key, the model that gives them, what asks it, and since when."""

    key: str
    model: ServedModel
    extract: Extract
    began_s: float

    def is_given_by(self, response: InferResponse) -> bool:
        """Whether an answer is of the version and the feature space that the key names."""
        spaces = {tensor.parameters.get(FEATURE_SPACE) for tensor in response.outputs}
        return response.model_version == self.model.version and spaces == {self.model.gives}

    def answer(self, response: InferResponse) -> HopAnswer:
        """What was kept, or given to another request, as this one's answer."""
        return HopAnswer(self.model, response, HopTimings.of_cache(time.perf_counter() - self.began_s), 0)


async def _key(picture: bytes | memoryview, model: ServedModel) -> str:
    digest = await by_size(len(picture), lambda: hashlib.sha256(picture).hexdigest())
    return f"splitway:{model.gives}:{model.version}:{digest}"


async def _another(flight: asyncio.Future[InferResponse], deadline: Deadline) -> InferResponse | None:
    """Wait for another request's extraction; None where it fails or its caller leaves.

    Raises:
        DeadlineExceeded: it took too long.
        SplitwayError: its error, where the picture itself is at fault.
    """
    done, _ = await asyncio.wait({flight}, timeout=max(0.0, deadline.remaining_s))
    if not done:
        raise DeadlineExceeded("the deadline passed before an equal picture's features were computed")
    if flight.cancelled():
        return None
    error = flight.exception()
    if isinstance(error, _OF_THE_PICTURE):
        raise copy(error)  # an error holds the calls that it went through, and those of two requests end apart
    return flight.result() if error is None else None


def _packed(response: InferResponse) -> bytes:
    body, header_length = build_response(response, _BINARY)
    return (header_length or "").encode() + b"\n" + body


def _unpacked(kept: bytes) -> InferResponse:
    header_length, _, body = kept.partition(b"\n")
    return parse_response(body, header_length.decode())
