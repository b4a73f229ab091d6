"""Features that are kept: once extracted, never across feature spaces, never more than there is room for."""

from __future__ import annotations

import asyncio

import httpx
import numpy as np
import pytest
from aiohttp import web

from gateway.cache import CacheResult, FeatureCache, MemoryStore
from splitway.errors import EngineFailed, InvalidInput, SplitwayError
from splitway.wire.deadline import Deadline
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import InferResponse
from tests.gateway.conftest import SPACE, Gateway, good_classifier, good_extractor
from tests.gateway.test_stage_client import refusing
from tests.gateway.test_two_replicas import Counting

FOREVER = Deadline.after(1e6)
JPEG = {"content-type": "image/jpeg"}


def response(value: float = 1.0, space: str = SPACE) -> InferResponse:
    tensor = Tensor.of_array("features", np.full((1, 4), value, np.float32), {"feature_space": space})
    return InferResponse("feature_extractor", "1", (tensor,))


class Extractor:
    """Gives features when it is let, and counts how often it was asked."""

    def __init__(self, *failures: SplitwayError) -> None:
        self.calls = 0
        self.gate = asyncio.Event()
        self.failures = list(failures)

    async def __call__(self) -> InferResponse:
        self.calls += 1
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        return response(self.calls)


async def _sixteen(cache: FeatureCache, extract: Extractor) -> list[tuple[InferResponse, CacheResult] | BaseException]:
    tasks = [asyncio.create_task(cache.features(b"picture", SPACE, "1", extract, FOREVER)) for _ in range(16)]
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
    first, _ = await cache.features(b"picture", SPACE, "1", extract, FOREVER)
    again, result = await cache.features(b"picture", SPACE, "1", extract, FOREVER)
    assert result is CacheResult.HIT
    assert again.outputs[0].array.tobytes() == first.outputs[0].array.tobytes()
    assert (again.model_version, again.outputs[0].parameters) == (first.model_version, first.outputs[0].parameters)


async def test_another_feature_space_or_version_is_another_key() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor()
    extract.gate.set()
    await cache.features(b"picture", SPACE, "1", extract, FOREVER)
    _, result = await cache.features(b"picture", SPACE, "2", extract, FOREVER)
    assert result is not CacheResult.HIT
    _, result = await cache.features(b"picture", "fs:ffffffffffffffff", "1", extract, FOREVER)
    assert (result, extract.calls) == (CacheResult.MISS, 3)
    _, result = await cache.features(b"picture", "fs:ffffffffffffffff", "1", extract, FOREVER)
    assert result is CacheResult.MISS, "features that came from another space than was asked for must not be kept"


async def test_a_failure_is_nobody_elses_unless_the_picture_is_at_fault() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor(EngineFailed("no"))
    got = await _sixteen(cache, extract)
    assert extract.calls == 2
    assert sum(isinstance(each, EngineFailed) for each in got) == 1
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor(InvalidInput("no picture"))
    got = await _sixteen(cache, extract)
    assert extract.calls == 1
    assert all(isinstance(each, InvalidInput) for each in got)


async def test_who_leads_and_leaves_hands_over() -> None:
    cache, extract = FeatureCache(MemoryStore(10_000)), Extractor()
    leader = asyncio.create_task(cache.features(b"picture", SPACE, "1", extract, FOREVER))
    await asyncio.sleep(0)
    follower = asyncio.create_task(cache.features(b"picture", SPACE, "1", extract, FOREVER))
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
    await cache.features(b"picture", SPACE, "1", extract, FOREVER)
    (key,) = store._values
    await store.put(key, kept)
    results = [(await cache.features(b"picture", SPACE, "1", extract, FOREVER))[1] for _ in range(2)]
    assert results == [CacheResult.STORED, CacheResult.HIT]


async def test_what_there_is_no_room_for_is_not_called_stored() -> None:
    cache, extract = FeatureCache(MemoryStore(10)), Extractor()
    extract.gate.set()
    _, result = await cache.features(b"picture", SPACE, "1", extract, FOREVER)
    assert result is CacheResult.MISS
    assert result.header == "splitway; fwd=uri-miss"


async def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    store = MemoryStore(1250)
    for key in ("a", "b", "c"):
        await store.put(key, bytes(200))
    assert await store.get("a") is not None
    await store.put("d", bytes(200))
    assert await store.get("b") is None
    assert store.bytes_held() <= 1250
    assert await store.get("d") is not None
    await store.put("e", bytes(2000))
    assert await store.get("e") is None
    await store.close()
    assert store.bytes_held() == 0


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


async def test_without_a_cache_nothing_is_said_of_one(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        reply = await _classify(client)
    assert "cache-status" not in reply.headers


@pytest.mark.parametrize("cache", ["disk", "redis:", "http://127.0.0.1"])
def test_a_cache_that_is_none_stops_the_start(cache: str) -> None:
    from gateway.settings import GatewaySettings

    with pytest.raises(ValueError, match="cache"):
        GatewaySettings.model_validate({"cache": cache})
