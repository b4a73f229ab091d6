"""Two hundred slow callers for a minute, and what the others notice of them.

Phases with and without them take turns, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.security.processes import address, open_files
from tests.security.slow import KINDS, SlowCrowd

SLOW, PHASE_S, TURNS = 200, 30.0, 2
CALLERS, PAUSE_S = 2, 0.02
"""Of the normal load: each asks, waits for the answer, pauses and asks again."""
AT_MOST = 1.5


@pytest.fixture
def running(models: Path) -> Iterator[LocalPipeline]:
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), LogBook().line) as pipeline:
        pipeline.wait_ready()
        yield pipeline


async def test_others_wait_no_longer_because_of_them(running: LocalPipeline, cat: bytes) -> None:
    to, files = address(running.gateway), open_files(running.gateway)
    alone: list[float] = []
    beside: list[float] = []
    cut_off = dict.fromkeys(KINDS, 0)
    async with httpx.AsyncClient(base_url=running.gateway.url, timeout=30, trust_env=False) as client:
        await _load(client, cat, 5)  # until everything is warm
        for _ in range(TURNS):
            alone += await _load(client, cat, PHASE_S)
            crowd = SlowCrowd(to, SLOW)
            slow = asyncio.create_task(crowd.run())
            beside += await _load(client, cat, PHASE_S)
            slow.cancel()
            with suppress(asyncio.CancelledError):
                await slow
            for kind, number in crowd.cut_off.items():
                cut_off[kind] += number
    print(
        f"\np99 alone {1000 * _p99(alone):.1f} ms, beside {SLOW} slow callers {1000 * _p99(beside):.1f} ms; {cut_off}"
    )
    assert _p99(beside) <= AT_MOST * _p99(alone)
    assert min(cut_off[kind] for kind in ("silent", "headers", "body")) >= SLOW / len(KINDS)
    until(lambda: open_files(running.gateway) <= files + 20, 10)


async def _load(client: httpx.AsyncClient, picture: bytes, seconds: float) -> list[float]:
    """Ask steadily; return how long each answer took."""
    ends_s = time.monotonic() + seconds
    each = await asyncio.gather(*(_ask_until(ends_s, client, picture) for _ in range(CALLERS)))
    return [took_s for caller in each for took_s in caller]


async def _ask_until(ends_s: float, client: httpx.AsyncClient, picture: bytes) -> list[float]:
    took_s = []
    while time.monotonic() < ends_s:
        began_s = time.perf_counter()
        reply = await client.post("/v1/classify", content=picture, headers={"content-type": "image/jpeg"})
        assert reply.status_code == 200
        took_s.append(time.perf_counter() - began_s)
        await asyncio.sleep(PAUSE_S)
    return took_s


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.99 * len(seconds))]
