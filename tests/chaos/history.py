"""Steady load in which every request has a picture of its own, and a checker that knows the answer to each."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
from PIL import Image

from splitway.bundle import Bundle
from splitway.preprocessing import PictureDecoder, PictureLimits
from splitway.runtime.inprocess import InProcessStage

TOP_K = 5
TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class Entry:
    """One request: which picture, when it was sent, how it ended."""

    picture: int
    sent_s: float
    took_s: float
    status: int
    body: dict[str, Any]


class Pictures:
    """Different pictures, and the oracle's answer to each: the same bundles in this process."""

    def __init__(self, count: int, extractor: Bundle, head: Bundle) -> None:
        preprocessing = extractor.manifest.preprocessing
        assert preprocessing is not None
        backbone, top = InProcessStage(extractor, "litert"), InProcessStage(head, "litert")
        decode = PictureDecoder(preprocessing, PictureLimits())
        rng = np.random.default_rng(11)
        self.encoded = [_png(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(count)]
        self._answers = [top(backbone(decode(data)[None]))[0] for data in self.encoded]
        assert len({answer.tobytes() for answer in self._answers}) == count

    def check(self, entry: Entry) -> None:
        """Raise unless a successful answer is, bit for bit, the one to its own picture."""
        expected = self._answers[entry.picture]
        best = np.argsort(-expected, kind="stable")[:TOP_K]
        got = [(p["index"], np.float32(p["confidence"])) for p in entry.body["predictions"]]
        assert got == [(int(index), expected[index]) for index in best], entry


def _png(pixels: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True)
class History:
    """Everything that was sent, each with exactly one end."""

    entries: list[Entry]

    @property
    def success(self) -> float:
        return sum(entry.status == 200 for entry in self.entries) / len(self.entries)

    @property
    def statuses(self) -> Counter[int]:
        return Counter(entry.status for entry in self.entries)

    def p99_s(self, after_s: float = 0.0) -> float:
        times = sorted(e.took_s for e in self.entries if e.sent_s >= after_s and e.status == 200)
        return times[int(len(times) * 0.99)]

    def failures(self) -> str:
        """What the caller was told, for the message of a test that fails."""
        told = Counter((e.status, str(e.body.get("detail"))[:160]) for e in self.entries if e.status != 200)
        return json.dumps([[count, *what] for what, count in told.most_common(5)], indent=1)


async def steady_load(url: str, pictures: Pictures, *, rate: float, seconds: float) -> History:
    """Send requests at a constant rate, whatever becomes of them; check every answer; return the history.

    Bounded by `rate * seconds` requests, each with its own time limit.
    """
    loop = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_MS / 1000 + 1)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
        started_s = loop.time()

        async def send(number: int) -> Entry:
            due_s = number / rate
            await asyncio.sleep(started_s + due_s - loop.time())
            picture = number % len(pictures.encoded)
            headers = {"content-type": "image/png", "x-request-timeout-ms": str(TIMEOUT_MS)}
            try:
                async with session.post(
                    f"{url}/v1/classify?top_k={TOP_K}", data=pictures.encoded[picture], headers=headers
                ) as reply:
                    status, body = reply.status, await reply.json(content_type=None)
            except (aiohttp.ClientError, TimeoutError) as error:
                status, body = 0, {"detail": repr(error)}
            return Entry(picture, due_s, loop.time() - started_s - due_s, status, body)

        entries = await asyncio.gather(*(send(number) for number in range(int(rate * seconds))))
    for entry in entries:
        if entry.status == 200:
            pictures.check(entry)
    return History(list(entries))
