"""The rate of a body is that of late, not of its beginning."""

from __future__ import annotations

import asyncio
import math

import pytest

from splitway.http.arrival import GRACE_S, Arrival
from tests.splitway.runtime.clock import Clock


async def test_a_body_is_as_fast_as_it_was_of_late() -> None:
    clock = Clock()
    arrival = Arrival(asyncio.timeout(None), clock)
    arrival.came(1000)
    assert arrival.rate == math.inf
    clock.pass_(GRACE_S)
    assert arrival.rate == 1000 / GRACE_S
    arrival.came(10)
    assert arrival.rate == 1000 / GRACE_S
    clock.pass_(2 * GRACE_S)
    assert arrival.rate == 10 / (2 * GRACE_S)
    arrival.came(1_000_000)
    clock.pass_(GRACE_S)
    assert arrival.rate == 1_000_000 / GRACE_S


async def test_what_is_ended_is_read_no_further() -> None:
    timeout = asyncio.timeout(3600)

    async def read() -> None:
        async with timeout:
            Arrival(timeout, Clock()).end()
            await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        await read()
    Arrival(timeout, Clock()).end()
