"""Load at a constant rate, whatever becomes of it: a stalled server can't hide its latency by slowing the sender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import numpy as np
import orjson

from splitway.errors import InvalidInput
from splitway.wire.messages import CLASSIFICATION, InferRequest, InferResponse, RequestedOutput
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response
from testkit.chaos.history import TOP_K, Classes, Entry, History

TIMEOUT_MS = 10_000
_BINARY = {"binary_data_output": True}


@dataclass(frozen=True)
class Reply:
    """What the caller got."""

    status: int
    classes: Classes
    detail: str = ""
    attempts: int = 1


Ask = Callable[[aiohttp.ClientSession, bytes], Awaitable[Reply]]
"""Sends one body, mostly a picture to be classified."""


class Bodies(Protocol):
    """What is sent, one after another and again from the start."""

    @property
    def encoded(self) -> Sequence[bytes]: ...


def ask_gateway(url: str) -> Ask:
    """One call of Splitway's gateway."""
    headers = {"content-type": "image/png", "x-request-timeout-ms": str(TIMEOUT_MS)}

    async def ask(session: aiohttp.ClientSession, picture: bytes) -> Reply:
        async with session.post(f"{url}/v1/classify?top_k={TOP_K}", data=picture, headers=headers) as reply:
            body = orjson.loads(await reply.read())
            attempts = int(reply.headers.get("x-attempt-count", "1"))
            if reply.status != 200:
                return Reply(reply.status, [], f"{body.get('code')}: {body.get('detail')}", attempts)
            classes = [(p["index"], np.float32(p["confidence"])) for p in body["predictions"]]
            return Reply(200, classes, "", attempts)

    return ask


def ask_stages(url: str) -> Ask:
    """What a caller does who has only a proxy in front of the stages: one call of each, and the features in between."""

    async def hop(session: aiohttp.ClientSession, stage: str, request: InferRequest) -> InferResponse | Reply:
        body, length = build_request(request)
        headers = {HEADER_LENGTH: length, "x-request-timeout-ms": str(TIMEOUT_MS)}
        async with session.post(f"{url}/v2/models/{stage}/infer", data=body, headers=headers) as reply:
            content = await reply.read()
            if reply.status != 200:
                return Reply(reply.status, [], content[:200].decode(errors="replace"))
            return parse_response(content, reply.headers.get(HEADER_LENGTH))

    async def ask(session: aiohttp.ClientSession, picture: bytes) -> Reply:
        try:
            image = InferRequest((Tensor.of_bytes("image", [picture]),), parameters=_BINARY)
            found = await hop(session, "feature_extractor", image)
            if isinstance(found, Reply):
                return found
            wanted = (RequestedOutput("probabilities", {CLASSIFICATION: TOP_K}),)
            answer = await hop(session, "classifier", InferRequest(found.outputs, wanted, parameters=_BINARY))
            if isinstance(answer, Reply):
                return answer
            read = [bytes(element).decode().split(":", 2) for element in answer.outputs[0].elements]
        except InvalidInput as error:
            return Reply(502, [], f"cannot be read: {error}")
        return Reply(200, [(int(index), np.float32(confidence)) for confidence, index, _ in read])

    return ask


async def _ended(
    ask: Ask, session: aiohttp.ClientSession, pictures: Bodies, number: int, started_s: float, due_s: float
) -> Entry:
    """Send one request now; its time counts from when it was due, `due_s` seconds after `started_s`."""
    picture = number % len(pictures.encoded)
    late_s = time.perf_counter() - started_s - due_s
    try:
        reply = await ask(session, pictures.encoded[picture])
    except (aiohttp.ClientError, TimeoutError) as error:
        reply = Reply(0, [], repr(error))
    took_s = time.perf_counter() - started_s - due_s
    return Entry(picture, due_s, took_s, reply.status, reply.classes, reply.detail, reply.attempts, late_s)


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_MS / 1000 + 1)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0), trust_env=False)


async def steady_load(ask: Ask, pictures: Bodies, *, rate: float, seconds: float) -> History:
    """Send `rate * seconds` requests, each at its time and each with a time limit of its own."""
    async with _session() as session:
        started_s = time.perf_counter()
        under_way: list[asyncio.Task[Entry]] = []
        for number in range(int(rate * seconds)):
            due_s = number / rate
            await asyncio.sleep(started_s + due_s - time.perf_counter())
            under_way.append(asyncio.create_task(_ended(ask, session, pictures, number, started_s, due_s)))
        return History(list(await asyncio.gather(*under_way)))


async def closed_load(ask: Ask, pictures: Bodies, *, clients: int, seconds: float) -> History:
    """So many clients, each of which sends its next request when it has its answer: finds the peak."""
    entries: list[Entry] = []
    async with _session() as session:
        started_s = time.perf_counter()

        async def client(number: int) -> None:
            while (due_s := time.perf_counter() - started_s) < seconds:
                entries.append(await _ended(ask, session, pictures, number + len(entries), started_s, due_s))

        await asyncio.gather(*(client(number) for number in range(clients)))
    return History(entries)
