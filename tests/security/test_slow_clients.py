"""Slow callers against the real services: cut off in time, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.security.processes import address, open_files
from tests.security.slow import KINDS, SlowCaller

pytestmark = pytest.mark.alone

HEADER_S, BODY_S, ANSWER_S = 1.0, 2.0, 1.5
LATE_S = 4.0
"""On top of that: the clock's step, two seconds in which an answer can be read, and a busy machine."""
LIMITS = {
    "SPLITWAY_HEADER_TIMEOUT_MS": str(1000 * HEADER_S),
    "SPLITWAY_BODY_TIMEOUT_MS": str(1000 * BODY_S),
    "SPLITWAY_ANSWER_TIMEOUT_MS": str(1000 * ANSWER_S),
    "SPLITWAY_CONNECTIONS_PER_ADDRESS": "100",
}
LONGEST_S = {"silent": HEADER_S, "headers": HEADER_S, "body": BODY_S, "unread": 3 * ANSWER_S}
"""An answer is unread from the moment on in which the kernel takes no more of it."""
STATUS = {"silent": b"", "headers": b"HTTP/1.1 408", "body": b"HTTP/1.1 408", "unread": b""}
OF_EACH = {"silent": 10, "headers": 10, "body": 10, "unread": 2}
EVERY_S = {"silent": 1.0, "headers": 0.5, "body": 0.5, "unread": 0.005}
"""What is not read has to fill the kernel first, which holds four megabytes for each connection."""


@pytest.fixture(scope="module")
def hurried(models: Path) -> Iterator[LocalPipeline]:
    """A pipeline of little patience."""
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None, environment=LIMITS), LogBook().line) as running:
        running.wait_ready()
        yield running


async def test_slow_callers_are_cut_off_and_others_are_served(hurried: LocalPipeline, cat: bytes) -> None:
    to, files = address(hurried.gateway), open_files(hurried.gateway)
    callers = [SlowCaller(kind, to, EVERY_S[kind]) for kind in KINDS for _ in range(OF_EACH[kind])]
    statuses = []
    async with httpx.AsyncClient(base_url=hurried.gateway.url, timeout=10, trust_env=False) as client:
        crowd = asyncio.gather(*(caller.run() for caller in callers))
        while not crowd.done():
            reply = await client.post("/v1/classify", content=cat, headers={"content-type": "image/jpeg"})
            statuses.append(reply.status_code)
            await asyncio.sleep(0.1)
        await crowd
    assert set(statuses) == {200}
    for caller in callers:
        assert caller.held_s is not None
        assert caller.held_s < LONGEST_S[caller.kind] + LATE_S, caller.kind
        assert caller.reply.startswith(STATUS[caller.kind])
    until(lambda: open_files(hurried.gateway) <= files + 2, 5)


@pytest.mark.parametrize("kind", ["silent", "headers"])
async def test_so_they_are_by_a_stage(hurried: LocalPipeline, kind: str) -> None:
    caller = SlowCaller(kind, address(hurried.of("feature_extractor")[0]))
    await caller.run()
    assert caller.held_s is not None
    assert caller.held_s < HEADER_S + LATE_S
    assert caller.reply.startswith(STATUS[kind])


def test_one_address_cannot_take_all_connections(hurried: LocalPipeline) -> None:
    to = address(hurried.of("classifier")[0])
    asyncio.run(_flood(to, 300))
    assert httpx.get(f"http://{to[0]}:{to[1]}/livez", trust_env=False).status_code == 200


async def _flood(to: tuple[str, int], size: int) -> None:
    """Ask for more connections than one address may have; those over the limit are told so, or cut off.

    How many are told at the same time has a test of its own: here the first may have left before the last come.
    """
    callers = [SlowCaller("silent", to) for _ in range(size)]
    await asyncio.gather(*(caller.run() for caller in callers))
    told = sum(caller.reply.startswith(b"HTTP/1.1 429 ") for caller in callers)
    admitted = sum(not caller.reply and (caller.held_s or 0.0) > HEADER_S / 2 for caller in callers)
    assert 0 < told <= size - admitted
    assert 0 < admitted <= 100
