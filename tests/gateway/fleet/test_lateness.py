"""How late the event loop is, by a timer that it is late for."""

from __future__ import annotations

import asyncio
import time

from splitway.gateway.fleet.lateness import LoopLateness


async def test_a_loop_that_is_held_is_late_by_as_much_and_an_idle_one_hardly() -> None:
    lateness = LoopLateness()
    lateness.start()
    await asyncio.sleep(0.1)
    before_s = lateness.total_s
    time.sleep(0.3)  # noqa: ASYNC251 - the loop is to be held
    at_once_s = lateness.total_s - before_s
    await asyncio.sleep(0.1)
    assert at_once_s > 0.2
    assert lateness.total_s - before_s >= at_once_s
    lateness.stop()
    seen_s = lateness.total_s
    await asyncio.sleep(0)
    assert lateness.total_s == seen_s
