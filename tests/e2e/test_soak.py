"""Good, damaged, cancelled, slow and oversized requests at the same time: afterwards nothing is held, and all is well.

What is looked at is what every reservation is counted in: places at the door, bytes of bodies, memory for pictures,
rows in queues, calls under way. A request that gives up between two steps must give all of them back.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import httpx
import pytest

from splitway.local.launch import LocalPipeline
from testkit.support import picture, until

pytestmark = pytest.mark.alone

SECONDS = 5.0
HELD = re.compile(
    r"^splitway_\w*(?:in_flight|queued|queued_rows|body_bytes|decode_used_bytes|decode_waiting|callers_apart|"
    r"suspect_requests)(?:\{.*\})? (?!0\.0$).*$",
    re.MULTILINE,
)
"""A gauge that is not at zero."""


@dataclass(frozen=True)
class Kind:
    """A kind of request, and what becomes of it."""

    media_type: str
    body: bytes
    declared: int = 0
    """What its length is said to be; 0 for the truth."""
    hangs_up_within_s: float = 0.0
    """0 where its caller waits for the answer."""
    piece_bytes: int = 0
    """What is sent at once, twenty times a second; 0 for all."""
    limit_ms: int = 3_000
    allowed: frozenset[int] = frozenset({200, 503, 504})


def _kinds(cat: bytes) -> list[Kind]:
    large, costly = picture(size=(3600, 2500)), picture(size=(2000, 1500), format_="WEBP")
    long = picture(size=(1200, 1200), compress_level=0)
    text = b'{"image": "%s"}' % base64.b64encode(long)
    jpeg, png, webp = "image/jpeg", "image/png", "image/webp"
    return [
        Kind(jpeg, cat),
        Kind(jpeg, cat, hangs_up_within_s=0.03),
        Kind(jpeg, cat, hangs_up_within_s=0.03),
        Kind(jpeg, cat, limit_ms=10),
        Kind(jpeg, cat, piece_bytes=4096),
        Kind(jpeg, cat[: len(cat) // 2], allowed=frozenset({400, 503, 504})),
        Kind(jpeg, b"x" * 70_000, declared=10**8, allowed=frozenset({413})),
        Kind(png, large, hangs_up_within_s=0.5),
        Kind(png, large, limit_ms=200),
        Kind(png, long, hangs_up_within_s=0.3),
        Kind(webp, costly),
        Kind(webp, costly, hangs_up_within_s=0.5),
        Kind("application/json", text, hangs_up_within_s=0.3),
        Kind("application/json", text[: len(text) // 2], declared=len(text), hangs_up_within_s=0.3),
    ]


async def _ask(port: int, kind: Kind, dice: random.Random) -> int | None:
    """Return the answer's status; None where nobody waited for it, or it could not be read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = (
            f"POST /v1/classify HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: {kind.media_type}\r\n"
            f"content-length: {kind.declared or len(kind.body)}\r\nx-request-timeout-ms: {kind.limit_ms}\r\n\r\n"
        )
        writer.write(head.encode())
        step = kind.piece_bytes or len(kind.body)
        for start in range(0, len(kind.body), step):
            writer.write(kind.body[start : start + step])
            if kind.piece_bytes:
                await asyncio.sleep(0.05)
        if kind.hangs_up_within_s:
            await asyncio.sleep(dice.uniform(0, kind.hangs_up_within_s))
            return None
        line = await reader.readline()
        return int(line.split()[1]) if line else None
    except ConnectionError:
        return None
    finally:
        writer.transport.abort()


async def _keep_on(ends_s: float, ask: Callable[[], Awaitable[int | None]], allowed: frozenset[int]) -> Counter[object]:
    ends: Counter[object] = Counter()
    while time.monotonic() < ends_s:
        status = await ask()
        ends[status if status is None or status in allowed else f"not {status}"] += 1
    return ends


async def _all_at_once(port: int, kinds: list[Kind]) -> Counter[object]:
    dice, ends_s = random.Random(16), time.monotonic() + SECONDS
    each = [_keep_on(ends_s, partial(_ask, port, kind, dice), kind.allowed) for kind in kinds]
    return sum(await asyncio.gather(*each), Counter())


def test_after_five_seconds_of_trouble_nothing_is_held_and_all_is_well(
    pipeline: LocalPipeline, gateway: httpx.Client, cat: bytes
) -> None:
    port = httpx.URL(pipeline.gateway.url).port
    assert port is not None
    ends = asyncio.run(_all_at_once(port, _kinds(cat)))
    assert ends[200] > 0, ends
    assert not [end for end in ends if isinstance(end, str)], ends
    began_s = time.monotonic()
    answer = gateway.post("/v1/classify", content=cat, headers={"content-type": "image/jpeg"})
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began_s < 5

    def held() -> list[str]:
        urls = [process.url for process in (pipeline.gateway, *pipeline.of("feature_extractor"))]
        urls += [process.url for process in pipeline.of("classifier")]
        found = (HELD.findall(httpx.get(f"{url}/metrics", trust_env=False).text) for url in urls)
        return [line for lines in found for line in lines]

    until(lambda: not held(), 5)
    state = gateway.get("/v1/pipeline").json()
    assert state["ready"]
    assert (state["admission"]["in_flight"], state["admission"]["queued"]) == (0, 0)
    for stage in state["stages"]:
        for replica in stage["replicas"]:
            assert (replica["state"], replica["breaker"], replica["in_flight"]) == ("ready", "closed", 0)
