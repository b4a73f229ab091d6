"""Features that are kept: once extracted, never across feature spaces, never more than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx
import numpy as np
import pytest
from aiohttp import web

from splitway.errors import (
    DeadlineExceeded,
    EngineFailed,
    InvalidInput,
    SplitwayError,
    TooLarge,
    UnsupportedMediaType,
)
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.flow.feature_cache import CacheResult, FeatureCache, MemoryStore
from splitway.gateway.hop.turn import HopAnswer, HopTimings
from splitway.wire.deadline import Deadline
from splitway.wire.messages import InferResponse
from splitway.wire.tensor import Tensor
from tests.gateway.conftest import SPACE, Gateway, good_classifier, good_extractor
from tests.gateway.hop.test_stage_client import refusing
from tests.gateway.resilience.support import in_virtual_time, now
from tests.gateway.test_two_replicas import Counting

FOREVER = Deadline.after(1e6)
JPEG = {"content-type": "image/jpeg"}
MODEL = ServedModel("feature_extractor", "1", "extractor", True, "ready", None, SPACE, (), ())


def response(value: float = 1.0, version: str = "1") -> HopAnswer:
    tensor = Tensor.of_array("features", np.full((1, 4), value, np.float32), {"feature_space": SPACE})
    return HopAnswer(MODEL, InferResponse("feature_extractor", version, (tensor,)), HopTimings.of_cache(0.0), 1)


class Extractor:
    """Gives features when it is let, and counts how often it was asked."""

    def __init__(self, *failures: SplitwayError) -> None:
        self.calls = 0
        self.gate = asyncio.Event()
        self.failures = list(failures)

    async def __call__(self) -> HopAnswer:
        self.calls += 1
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return response(self.calls)


async def _sixteen(cache: FeatureCache, extract: Extractor) -> list[tuple[HopAnswer, CacheResult] | BaseException]:
    tasks = [asyncio.create_task(cache.features(b"picture", MODEL, extract, FOREVER)) for _ in range(16)]
    await asyncio.sleep(0.01)
    extract.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_sixteen_equal_pictures_at_once_are_one_extraction() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor()
    got = await _sixteen(cache, extract)
    assert extract.calls == 1
    assert cache.results == {CacheResult.STORED: 1, CacheResult.COLLAPSED: 15}
    assert not [each for each in got if isinstance(each, BaseException)]


async def test_what_is_kept_is_what_was_given() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor()
    extract.gate.set()
    first, _ = await cache.features(b"picture", MODEL, extract, FOREVER)
    again, result = await cache.features(b"picture", MODEL, extract, FOREVER)
    assert result is CacheResult.HIT
    (one,), (two,) = first.response.outputs, again.response.outputs
    assert two.array.tobytes() == one.array.tobytes()
    assert two.parameters == one.parameters
    assert again.response.model_version == first.response.model_version


async def test_another_feature_space_or_version_is_another_key() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor()
    extract.gate.set()
    await cache.features(b"picture", MODEL, extract, FOREVER)
    _, result = await cache.features(b"picture", replace(MODEL, version="2"), extract, FOREVER)
    assert result is not CacheResult.HIT
    _, result = await cache.features(b"picture", replace(MODEL, gives="fs:ffffffffffffffff"), extract, FOREVER)
    assert (result, extract.calls) == (CacheResult.MISS, 3)
    _, result = await cache.features(b"picture", replace(MODEL, gives="fs:ffffffffffffffff"), extract, FOREVER)
    assert result is CacheResult.MISS, "features that came from another space than was asked for must not be kept"


async def test_a_failure_is_of_one_request_unless_the_picture_is_at_fault() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor(EngineFailed("no"))
    got = await _sixteen(cache, extract)
    assert extract.calls == 16, "those who waited for it ask at once, each for itself"
    assert sum(isinstance(each, EngineFailed) for each in got) == 1
    for error in (InvalidInput("no picture"), TooLarge("too many pixels"), UnsupportedMediaType("no picture")):
        cache, extract = FeatureCache(MemoryStore(10_000)), Extractor(error)
        got = await _sixteen(cache, extract)
        assert extract.calls == 1
        assert {(type(each), str(each)) for each in got} == {(type(error), str(error))}


SECONDS = 1.0
"""That each extraction takes below."""


def _ends(*leaves_after_s: float, requests: int, time_s: float, fails: bool) -> tuple[list[tuple[float, str]], int]:
    """When and how equal requests end, and how many extractions there were; the first of them are cancelled."""
    calls = 0

    async def extract() -> HopAnswer:
        nonlocal calls
        calls += 1
        await asyncio.sleep(SECONDS)
        if fails:
            raise EngineFailed("no")
        return response()

    async def one(cache: FeatureCache) -> tuple[float, str]:
        began_s = now()
        try:
            deadline = Deadline.after(time_s, now)
            how = str((await cache.features(b"picture", MODEL, extract, deadline))[1])
        except SplitwayError as error:
            how = error.code
        return round(now() - began_s, 3), how

    async def main() -> list[tuple[float, str]]:
        cache = FeatureCache(MemoryStore(10_000))
        tasks = [asyncio.create_task(one(cache)) for _ in range(requests)]
        for task, after_s in zip(tasks, leaves_after_s, strict=False):
            asyncio.get_running_loop().call_later(after_s, task.cancel)
        await asyncio.wait(tasks)
        return [task.result() for task in tasks[len(leaves_after_s) :]]

    return in_virtual_time(main()), calls


def test_a_leader_that_fails_does_not_make_its_waiters_fail_one_after_the_other() -> None:
    ends, calls = _ends(requests=20, time_s=10.0, fails=True)
    assert ends == [(SECONDS, "engine_failed")] + [(2 * SECONDS, "engine_failed")] * 19
    assert calls == 20


def test_when_a_leader_leaves_one_takes_over_and_when_that_leaves_too_nobody_waits_again() -> None:
    ends, calls = _ends(0.5, requests=20, time_s=10.0, fails=False)
    assert ends == [(0.5 + SECONDS, "stored")] + [(0.5 + SECONDS, "collapsed")] * 18
    assert calls == 2
    ends, calls = _ends(0.5, 1.0, requests=20, time_s=10.0, fails=False)
    assert {seconds for seconds, _ in ends} == {1.0 + SECONDS}
    assert calls == 2 + 18


def test_a_leader_with_less_time_than_its_waiters_is_no_failure_of_theirs() -> None:
    async def main() -> tuple[list[object], int]:
        calls = 0

        def extract(time_s: float) -> Callable[[], Awaitable[HopAnswer]]:
            async def run() -> HopAnswer:
                nonlocal calls
                calls += 1
                await asyncio.sleep(min(SECONDS, time_s))
                if time_s < SECONDS:
                    raise DeadlineExceeded("time is up")
                return response()

            return run

        cache = FeatureCache(MemoryStore(10_000))
        tasks = [
            asyncio.create_task(cache.features(b"picture", MODEL, extract(s), Deadline.after(s, now)))
            for s in (0.25, 5.0, 5.0, 5.0)
        ]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        return [each if isinstance(each, BaseException) else each[1] for each in ends], calls

    ends, calls = in_virtual_time(main())
    assert isinstance(ends[0], DeadlineExceeded)
    assert ends[1:] == [CacheResult.STORED, CacheResult.COLLAPSED, CacheResult.COLLAPSED]
    assert calls == 2


async def test_features_of_another_version_are_neither_kept_nor_shared() -> None:
    """The extractor has moved on from version 1 to 2 of one space between the choice of the key and its answer."""
    cache, calls, gate = FeatureCache(MemoryStore(10_000)), 0, asyncio.Event()

    async def extract() -> HopAnswer:
        nonlocal calls
        calls += 1
        await gate.wait()
        return response(calls, "2")

    tasks = [asyncio.create_task(cache.features(b"picture", MODEL, extract, FOREVER)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    ends = await asyncio.gather(*tasks)
    assert calls == 3
    assert [result for _, result in ends] == [CacheResult.MISS] * 3
    _, result = await cache.features(b"picture", MODEL, extract, FOREVER)
    assert result is CacheResult.MISS, "nothing was kept under version 1"


async def test_who_leads_and_leaves_hands_over() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor()
    leader = asyncio.create_task(cache.features(b"picture", MODEL, extract, FOREVER))
    await asyncio.sleep(0)
    follower = asyncio.create_task(cache.features(b"picture", MODEL, extract, FOREVER))
    await asyncio.sleep(0)
    leader.cancel()
    extract.gate.set()
    _, result = await follower
    assert (result, extract.calls) == (CacheResult.STORED, 2)


@pytest.mark.parametrize("kept", [b"", b"rubbish", b"\xff\n{}", b"2\n{}", b"999\n{}"])
async def test_what_cannot_be_read_is_extracted_anew_and_replaced(kept: bytes) -> None:
    store, extract = MemoryStore(10_000), Extractor()
    cache = FeatureCache(store)
    extract.gate.set()
    await cache.features(b"picture", MODEL, extract, FOREVER)
    (key,) = store._values
    await store.put(key, kept)
    results = [(await cache.features(b"picture", MODEL, extract, FOREVER))[1] for _ in range(2)]
    assert results == [CacheResult.STORED, CacheResult.HIT]


async def test_what_there_is_no_room_for_is_not_called_stored() -> None:
    cache, extract = FeatureCache(MemoryStore(10)), Extractor()
    extract.gate.set()
    _, result = await cache.features(b"picture", MODEL, extract, FOREVER)
    assert result is CacheResult.MISS
    assert result.header == "splitway; fwd=uri-miss"


async def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    store = MemoryStore(1250)
    for key in ("a", "b", "c"):
        await store.put(key, bytes(200))
    assert await store.get("a") is not None
    await store.put("d", bytes(200))
    assert await store.get("b") is None
    assert store.bytes_held <= 1250
    assert await store.get("d") is not None
    await store.put("e", bytes(2000))
    assert await store.get("e") is None
    await store.close()
    assert store.bytes_held == 0


async def _classify(client: httpx.AsyncClient, picture: bytes = b"picture") -> httpx.Response:
    return await client.post("/v1/classify", content=picture, headers=JPEG)


async def test_the_gateway_says_how_it_met_the_cache(gateway_before: Gateway) -> None:
    backbone, head = Counting(good_extractor), Counting(good_classifier)
    async with gateway_before(backbone.handle, head.handle, cache="memory") as client:
        replies = [await _classify(client) for _ in range(3)]
        other = await _classify(client, b"another")
        metrics = (await client.get("/metrics")).text
    assert [reply.headers["cache-status"] for reply in replies] == [
        "splitway; fwd=uri-miss; stored",
        "splitway; hit",
        "splitway; hit",
    ]
    assert "stored" in other.headers["cache-status"]
    assert (len(backbone.calls), len(head.calls)) == (2, 4)
    assert len({(reply.json()["label"], reply.json()["confidence"]) for reply in replies}) == 1
    assert 'splitway_gateway_cache_requests_total{outcome="hit"} 2.0' in metrics


async def test_kept_features_that_the_head_no_longer_takes_are_extracted_anew(gateway_before: Gateway) -> None:
    """The head answers 409 to what was kept, once: the gateway asks the extractor instead of telling the caller."""
    backbone = Counting(good_extractor)
    refuse = iter([False, True, False])

    async def head(request: web.Request) -> web.StreamResponse:
        return await (refusing(409) if next(refuse) else good_classifier)(request)

    async with gateway_before(backbone.handle, head, cache="memory") as client:
        replies = [await _classify(client) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert len(backbone.calls) == 2
    assert replies[1].headers["cache-status"] == "splitway; fwd=bypass"


@pytest.mark.parametrize("status", [400, 409, 500])
async def test_kept_features_that_a_head_cannot_use_are_replaced(gateway_before: Gateway, status: int) -> None:
    """Whatever is wrong with them: the next request is answered from what was extracted instead."""
    backbone, refuse = Counting(good_extractor), iter([False, True, False, False])

    async def head(request: web.Request) -> web.StreamResponse:
        return await (refusing(status) if next(refuse) else good_classifier)(request)

    async with gateway_before(backbone.handle, head, cache="memory") as client:
        replies = [await _classify(client) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200] * 3
    assert [reply.headers["cache-status"].partition("; ")[2] for reply in replies[1:]] == ["fwd=bypass", "hit"]
    assert len(backbone.calls) == 2


async def test_without_a_cache_nothing_is_said_of_one(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        reply = await _classify(client)
    assert "cache-status" not in reply.headers


@pytest.mark.parametrize("cache", ["disk", "redis:", "http://127.0.0.1"])
def test_a_cache_that_is_none_stops_the_start(cache: str) -> None:
    from splitway.gateway.settings import GatewaySettings

    with pytest.raises(ValueError, match="cache"):
        GatewaySettings.model_validate({"cache": cache})


async def test_those_who_waited_get_an_error_each_which_holds_no_call_of_another() -> None:
    """A request that ends clears the calls that its error has gone through: another's may not be done yet."""
    cache, extract = FeatureCache(MemoryStore(1000)), Extractor(InvalidInput("no picture", stage="extractor"))
    ends = await _sixteen(cache, extract)
    assert [str(end) for end in ends] == ["no picture"] * 16
    assert len({id(end) for end in ends}) == 16
    assert {end.stage for end in ends if isinstance(end, SplitwayError)} == {"extractor"}
