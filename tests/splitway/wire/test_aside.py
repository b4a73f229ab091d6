"""Work beside the loop is done in turn, and forgotten when its caller gives it up."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from functools import partial

from splitway.wire.aside import aside
from tests.splitway.runtime.gated import until_given_up


class Body:
    """What a weak reference can be made to."""


async def test_what_is_given_up_before_its_turn_is_forgotten_at_once() -> None:
    gate, body = threading.Event(), Body()
    is_held = weakref.ref(body)
    first = asyncio.create_task(aside(partial(gate.wait, 10)))
    given_up = asyncio.create_task(until_given_up(aside(partial(id, body))))
    del body
    await asyncio.sleep(0)
    given_up.cancel()
    await given_up
    del given_up
    gc.collect()
    assert is_held() is None
    gate.set()
    assert await first
    assert await aside(lambda: 1) == 1
