"""What one caller may take, through the whole gateway in front of stages that always answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from splitway.gateway.callers.caller import caller_of
from splitway.gateway.callers.limits import DEFAULT_CONCURRENCY, Share
from splitway.gateway.settings import GatewaySettings
from splitway.gateway.wiring import everybodys_share
from splitway.http.body import pack
from splitway.security.callers.keys import KeyFile, make_key
from splitway.security.callers.principal import Principal
from splitway.state_file import replace_file
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from tests.gateway.conftest import Gateway, good_extractor
from tests.gateway.edge.test_cost import PADDED, PNG, header
from tests.gateway.flow.test_redis_store import Redis, needs_redis, redis

__all__ = ["redis"]
INFER = "/v2/models/pipeline/infer"
NINE = PNG + header(3000, 3000)
BOMB = PNG + header(6000, 5000)


async def classify(client: httpx.AsyncClient, content: Any = b"x", **headers: str) -> httpx.Response:
    return await client.post("/v1/classify", content=content, headers={"content-type": "image/png", **headers})


async def infer(client: httpx.AsyncClient, *pictures: bytes, **headers: str) -> httpx.Response:
    body, length = build_request(InferRequest((Tensor.of_bytes("image", pictures),)))
    return await client.post(INFER, content=body, headers={HEADER_LENGTH: length, **headers})


def stands(reply: httpx.Response) -> list[int]:
    return [int(reply.headers[f"ratelimit-{name}"]) for name in ("limit", "remaining")]


class Keys:
    """A file of keys."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: list[Any] = []

    def add(self, **more: object) -> dict[str, str]:
        key, record = make_key("test", ("infer",), **more)
        self._records.append(record)
        replace_file(self.path, KeyFile(keys=tuple(self._records)).model_dump_json())
        return {"authorization": f"Bearer {key}"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


async def test_without_limits_nothing_is_said_of_them(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        reply = await classify(client)
    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.startswith("ratelimit")]


async def test_what_a_request_costs_and_what_is_left(gateway_before: Gateway) -> None:
    async with gateway_before(cost_per_minute=20) as client:
        small, large = await classify(client), await classify(client, NINE)
        refused = await classify(client, BOMB[:16])
        too_much = await classify(client, PNG + header(5000, 2000))
        last = [await classify(client) for _ in range(10)]
    assert [stands(reply) for reply in (small, large)] == [[20, 19], [20, 10]]
    assert small.headers["ratelimit-policy"] == "20;w=60"
    assert 0 < int(small.headers["ratelimit-reset"]) <= 60
    assert (refused.status_code, stands(refused)) == (400, [20, 9])
    assert (too_much.status_code, stands(too_much)) == (429, [20, 8]), "of what is refused, one is charged"
    assert int(too_much.headers["retry-after"]) > 0
    assert [reply.status_code for reply in last] == [200] * 8 + [429] * 2
    problem = last[-1].json()
    assert (problem["code"], problem["retryable"], stands(last[-1])) == ("rate_limited", True, [20, 0])
    assert last[-1].headers["content-type"] == "application/problem+json"


async def test_rows_cost_too_and_the_protocol_has_its_own_form(gateway_before: Gateway) -> None:
    async with gateway_before(cost_per_minute=20) as client:
        reply = await infer(client, NINE, b"x", b"x")
        refused = await infer(client, NINE, b"x", b"x")
    assert stands(reply) == [20, 9]
    assert (refused.status_code, stands(refused)) == (429, [20, 8])
    assert set(refused.json()) == {"error"}
    assert int(refused.headers["retry-after"]) > 0


async def test_what_nobody_may_ever_spend_is_too_large(gateway_before: Gateway) -> None:
    async with gateway_before(cost_per_minute=8) as client:
        reply = await classify(client, NINE)
    assert (reply.status_code, reply.json()["retryable"]) == (413, False)
    assert "retry-after" not in reply.headers


async def test_with_nothing_left_the_body_is_not_read(gateway_before: Gateway) -> None:
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b"x"

    async with gateway_before(cost_per_minute=1) as client:
        await classify(client)
        assert (await classify(client, body())).status_code == 429
        metrics = (await client.get("/metrics")).text
    assert not read
    assert "splitway_gateway_rate_limited_total 1.0" in metrics


async def test_refusals_after_the_body_are_counted_too(gateway_before: Gateway) -> None:
    async with gateway_before(cost_per_minute=9) as client:
        await classify(client)
        assert (await classify(client, NINE)).status_code == 429
        metrics = (await client.get("/metrics")).text
    assert "splitway_gateway_rate_limited_total 1.0" in metrics
    assert 'requests_total{outcome="rate_limited",route="/v1/classify"} 1.0' in metrics


async def test_a_rate_and_a_cost_beside_each_other(gateway_before: Gateway) -> None:
    async with gateway_before(cost_per_minute=1000, rate_per_second=2) as client:
        replies = [await classify(client) for _ in range(8)]
    refused = [reply for reply in replies if reply.status_code == 429]
    assert refused
    assert refused[0].headers["ratelimit-policy"] == "2;w=1, 1000;w=60"
    assert stands(refused[0])[0] == 2
    assert stands(replies[0]) == [1000, 999]


async def test_each_key_has_its_own_and_may_have_another(gateway_before: Gateway, keys: Keys) -> None:
    one, other, rich = keys.add(), keys.add(), keys.add(cost_per_minute=100)
    async with gateway_before(cost_per_minute=2, keys_file=keys.path) as client:
        mine = [(await classify(client, **one)).status_code for _ in range(3)]
        assert mine == [200, 200, 429]
        assert stands(await classify(client, **other)) == [2, 1]
        assert stands(await classify(client, NINE, **rich)) == [100, 91]
        assert (await classify(client)).status_code == 401


async def test_a_key_may_be_limited_where_nobody_else_is(gateway_before: Gateway, keys: Keys) -> None:
    free, poor = keys.add(), keys.add(cost_per_minute=1)
    async with gateway_before(keys_file=keys.path) as client:
        assert [(await classify(client, **poor)).status_code for _ in range(2)] == [200, 429]
        assert [(await classify(client, **free)).status_code for _ in range(2)] == [200, 200]


class Slow:
    """An extractor that answers when it is told."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.inside = asyncio.Semaphore(0)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.inside.release()
        await self.go_on.wait()
        return await good_extractor(request)


async def _busy(
    slow: Slow, count: int, call: Callable[[], Awaitable[httpx.Response]]
) -> list[asyncio.Task[httpx.Response]]:
    tasks = [asyncio.ensure_future(call()) for _ in range(count)]
    for _ in tasks:
        await slow.inside.acquire()
    return [task for task in tasks if isinstance(task, asyncio.Task)]


async def test_no_more_at_once_than_a_caller_may_have_and_others_are_not_kept(
    gateway_before: Gateway, keys: Keys
) -> None:
    slow, one, other = Slow(), keys.add(), keys.add(concurrency=1)
    async with gateway_before(slow.answer, keys_file=keys.path, concurrency_per_key=2) as client:
        under_way = await _busy(slow, 2, lambda: classify(client, **one))
        refused = await classify(client, **one)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "are running" in refused.json()["detail"]
        under_way += await _busy(slow, 1, lambda: classify(client, **other))
        assert (await classify(client, **other)).status_code == 429
        slow.go_on.set()
        assert [reply.status_code for reply in await asyncio.gather(*under_way)] == [200] * 3
        assert (await classify(client, **one)).status_code == 200


async def test_places_come_back_whatever_happens(gateway_before: Gateway) -> None:
    slow = Slow()
    async with gateway_before(slow.answer, concurrency_per_key=1) as client:
        (left,) = await _busy(slow, 1, lambda: classify(client))
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        refused = [
            (await classify(client, b"")).status_code,
            (await client.post("/v1/classify", content=b"x")).status_code,
            (await client.post("/v2/models/other/infer", content=b"{}")).status_code,
        ]
        assert refused == [400, 415, 404]
        slow.go_on.set()
        assert (await classify(client)).status_code == 200


def test_who_shows_who_they_are_may_have_so_many_at_once_unless_something_else_is_said() -> None:
    assert everybodys_share(GatewaySettings(), asks_who=False) == Share()
    assert everybodys_share(GatewaySettings(), asks_who=True) == Share(concurrency=DEFAULT_CONCURRENCY)
    for said in (0, 7):
        settings = GatewaySettings(concurrency_per_key=said)
        assert everybodys_share(settings, asks_who=True) == Share(concurrency=said)


@pytest.mark.parametrize(
    ("client", "caller"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3::4", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:5::6", 1), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("a:name", 1), "a:name"),
        (None, ""),
    ],
)
def test_an_address_is_a_caller_where_nobody_is_asked(client: tuple[str, int] | None, caller: str) -> None:
    assert caller_of({"client": client}) == caller
    assert caller_of({"client": client, "state": {"principal": Principal("ada", frozenset())}}) == "ada"


async def test_pictures_that_are_too_large_do_not_travel(gateway_before: Gateway) -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        pytest.fail("it travelled")

    async with gateway_before(never) as client:
        replies = [await classify(client, BOMB), await infer(client, b"x", BOMB)]
        assert [reply.status_code for reply in replies] == [413, 413]
        assert "6000 x 5000" in replies[0].text
        assert (await classify(client, next(iter(PADDED.values())))).status_code == 400
    async with gateway_before(max_picture_pixels=30_000_000) as client:
        assert (await classify(client, BOMB)).status_code == 200


async def test_more_rows_than_are_taken_are_refused_by_what_the_request_says(gateway_before: Gateway) -> None:
    async with gateway_before(max_rows=4) as client:
        assert (await infer(client, *[b"x"] * 4)).status_code != 413
        replies = [await infer(client, *[b"x"] * 5)]
        said = {"name": "image", "datatype": "BYTES", "shape": [5], "data": ["x"]}
        replies.append(await client.post(INFER, json={"inputs": [said]}))
    assert [reply.status_code for reply in replies] == [413, 413]
    assert "has 5 rows; at most 4" in replies[1].json()["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
async def test_packed_pictures_are_not_unpacked(gateway_before: Gateway, encoding: str) -> None:
    bomb = pack(bytes(10_000_000), "gzip")
    async with gateway_before() as client:
        reply = await classify(client, bomb, **{"content-encoding": encoding})
    assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type")


async def test_packed_tensors_are_part_of_the_protocol_on_this_machine(gateway_before: Gateway) -> None:
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [b"x"]),)))
    headers = {HEADER_LENGTH: length, "content-encoding": "gzip"}
    async with gateway_before() as client:
        assert (await client.post(INFER, content=pack(body, "gzip"), headers=headers)).status_code == 200


@needs_redis
async def test_gateways_count_together_in_redis_and_alone_without_it(redis: Redis, gateway_before: Gateway) -> None:
    settings = {"cost_per_minute": 20, "rate_store": redis.url}
    async with gateway_before(**settings) as one, gateway_before(**settings) as other:
        assert stands(await classify(one, NINE)) == [20, 11]
        assert stands(await classify(other, NINE)) == [20, 2]
        redis.stop()
        assert [stands(await classify(each))[1] for each in (one, other)] == [19, 19]
