"""Two callers of one gateway, of whom one asks for much at a time: what the other gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import httpx
import orjson
from aiohttp import web

from splitway.gateway.app import create_app
from splitway.gateway.settings import GatewaySettings
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_request
from tests.gateway.conftest import answer, features, serving

INFER = "/v2/models/pipeline/infer"
ROW_S = 0.002
SECONDS = 4.0


class Stage:
    """Two lanes, each of which takes so long for a row; says where the time went, as stages do."""

    def __init__(self) -> None:
        self._lanes = asyncio.Semaphore(2)

    async def extract(self, request: web.Request) -> web.StreamResponse:
        rows = parse_request(await request.read(), request.headers.get(HEADER_LENGTH)).inputs[0].rows
        came_s = asyncio.get_running_loop().time()
        async with self._lanes:
            waited_s = asyncio.get_running_loop().time() - came_s
            await asyncio.sleep(rows * ROW_S)
        reply = answer("feature_extractor", features(rows))
        reply.headers["server-timing"] = f"queue;dur={waited_s * 1000}, compute;dur={rows * ROW_S * 1000}"
        return reply


async def _classes(request: web.Request) -> web.StreamResponse:
    rows = parse_request(await request.read(), request.headers.get(HEADER_LENGTH)).inputs[0].rows
    return answer("classifier", Tensor.of_bytes("probabilities", [b"0.5:0:cat"] * rows, (rows, 1)))


def _asking_for(rows: int) -> tuple[bytes, dict[str, str]]:
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [b"picture"] * rows),)))
    return body, {HEADER_LENGTH: length}


async def test_sixty_requests_of_64_rows_leave_another_caller_what_it_asks_for() -> None:
    """The other asks for ten rows a second, which is one hundredth of what there is."""
    ends: Counter[int] = Counter()
    reasons = []

    async def greedy(client: httpx.AsyncClient) -> None:
        body, headers = _asking_for(64)
        while True:
            await client.post(INFER, content=body, headers=headers)
            await asyncio.sleep(0.2)

    async def modest(client: httpx.AsyncClient) -> None:
        body, headers = _asking_for(1)
        r = await client.post(INFER, content=body, headers=headers)
        ends[r.status_code] += 1
        if r.status_code != 200:
            reasons.append((r.status_code, r.text[:200]))

    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(serving("feature_extractor", Stage().extract))
        two = await stack.enter_async_context(serving("classifier", _classes))
        app = create_app(GatewaySettings(feature_extractor=one, classifier=two))
        await stack.enter_async_context(app.router.lifespan_context(app))
        clients = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://gateway", timeout=30
                )
            )
            for address in ("10.0.0.1", "10.0.0.2")
        ]
        tasks = [asyncio.create_task(greedy(clients[0])) for _ in range(60)]
        await asyncio.sleep(1)
        turns = []
        for _ in range(int(SECONDS * 10)):
            turns.append(asyncio.create_task(modest(clients[1])))
            await asyncio.sleep(0.1)
        await asyncio.gather(*turns)
        door = orjson.loads((await clients[1].get("/v1/pipeline")).content)["admission"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert ends[200] >= 0.9 * sum(ends.values()), (ends, door)
