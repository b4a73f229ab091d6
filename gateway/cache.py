"""Features of pictures that have been seen before: the head is run again, the backbone is not.

The key is the picture's SHA-256, the feature space and the extractor's version, so that features never meet a head of
another space. Equal pictures that arrive at the same time are extracted once (single flight). What is kept are the
bytes of the extractor's answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Protocol

from splitway.errors import DeadlineExceeded, InvalidInput, RequestError
from splitway.wire.aside import LARGE_BYTES, aside
from splitway.wire.deadline import Deadline
from splitway.wire.v2_json import FEATURE_SPACE, InferRequest, InferResponse, build_response, parse_response

_BINARY = InferRequest((), parameters={"binary_data_output": True})
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

    async def get(self, key: str) -> bytes | None:
        """Return what is kept under a key."""

    async def put(self, key: str, value: bytes) -> bool:
        """Keep a value for as long as there is room; say whether it was taken."""

    async def close(self) -> None:
        """Let go of connections."""

    def bytes_held(self) -> int:
        """Bytes of this process's memory."""


class MemoryStore:
    """The values used last, up to so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def bytes_held(self) -> int:
        return self._bytes

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
        self._bytes += _size(key, value)
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._values)))
        return True

    def _forget(self, key: str) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._bytes -= _size(key, value)

    async def close(self) -> None:
        self._values.clear()
        self._bytes = 0


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD_BYTES


class FeatureCache:
    """Asks the store first and the extractor once.

    Args:
        store: where features are kept.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._under_way: dict[str, asyncio.Future[InferResponse]] = {}
        self.results: Counter[CacheResult] = Counter()

    @property
    def bytes_held(self) -> int:
        return self._store.bytes_held()

    async def close(self) -> None:
        await self._store.close()

    async def features(
        self,
        picture: bytes | memoryview,
        feature_space: str,
        version: str,
        extract: Callable[[], Awaitable[InferResponse]],
        deadline: Deadline,
    ) -> tuple[InferResponse, CacheResult]:
        """Return a picture's features in this feature space, as this version of the extractor gives them.

        Args:
            picture: as it was encoded.
            feature_space: what the extractors give now.
            version: theirs; another one of the same space may round otherwise, and a canary must be run.
            extract: asks an extractor; called at most once.
            deadline: how long the caller waits for another request's extraction.

        Raises:
            DeadlineExceeded: another request's extraction took too long.
            SplitwayError: of `extract`; of another's, if the picture itself is at fault.
        """
        digest = _digest(picture) if len(picture) <= LARGE_BYTES else await aside(partial(_digest, picture))
        key = f"splitway:{feature_space}:{version}:{digest}"
        while (leader := self._under_way.get(key)) is not None:
            response = await _another(leader, deadline)
            if response is not None:
                return response, self._count(CacheResult.COLLAPSED)
        return await self._lead(key, feature_space, extract)

    async def _lead(
        self, key: str, feature_space: str, extract: Callable[[], Awaitable[InferResponse]]
    ) -> tuple[InferResponse, CacheResult]:
        """Look into the store, then extract; whoever comes meanwhile waits for the same."""
        flight: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        self._under_way[key] = flight
        try:
            kept = await self._kept(key)
            response = await extract() if kept is None else kept
            flight.set_result(response)
        except RequestError as error:
            flight.set_exception(error)
            flight.exception()  # looked at, whether anybody else waits or not
            raise
        finally:
            del self._under_way[key]
            flight.cancel()  # nothing, if it has ended; else whoever waits takes over
        if kept is not None:
            return response, self._count(CacheResult.HIT)
        foreign = any(t.parameters.get(FEATURE_SPACE) != feature_space for t in response.outputs)
        stored = not foreign and await self._store.put(key, _packed(response))  # foreign: replicas have moved on
        return response, self._count(CacheResult.STORED if stored else CacheResult.MISS)

    async def _kept(self, key: str) -> InferResponse | None:
        """What the store has; what cannot be read counts as nothing, and is replaced."""
        kept = await self._store.get(key)
        if kept is None:
            return None
        try:
            return _unpacked(kept)
        except (InvalidInput, UnicodeDecodeError) as error:
            _log.warning("what the feature cache kept under %s cannot be read: %s", key, error)
            return None

    def bypassed(self) -> CacheResult:
        """Count a request that the cache could not serve."""
        return self._count(CacheResult.BYPASS)

    def _count(self, result: CacheResult) -> CacheResult:
        self.results[result] += 1
        return result


async def _another(flight: asyncio.Future[InferResponse], deadline: Deadline) -> InferResponse | None:
    """Wait for another request's extraction; None if it came to nothing."""
    done, _ = await asyncio.wait({flight}, timeout=max(0.0, deadline.remaining_s))
    if not done:
        raise DeadlineExceeded("the time was up before an equal picture's features were there")
    return None if flight.cancelled() else flight.result()


def _digest(picture: bytes | memoryview) -> str:
    return hashlib.sha256(picture).hexdigest()


def _packed(response: InferResponse) -> bytes:
    body, header_length = build_response(response, _BINARY)
    return (header_length or "").encode() + b"\n" + body


def _unpacked(kept: bytes) -> InferResponse:
    header_length, _, body = kept.partition(b"\n")
    return parse_response(body, header_length.decode())
