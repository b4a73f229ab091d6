"""Stop working for a caller who hung up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

_PATIENCE_S = 0.02
"""Work that is done sooner is not worth a task that watches."""


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel what is done inside when the caller hangs up. To be entered when the body has been read.

    Raises:
        ClientDisconnect: in place of the cancellation that the hang-up caused.
    """
    work = asyncio.current_task()
    assert work is not None
    hung_up = False

    async def watch() -> None:
        nonlocal hung_up
        while (await request.receive())["type"] != "http.disconnect":
            pass
        hung_up = True
        work.cancel()

    watchers: list[asyncio.Task[None]] = []

    def begin() -> None:
        watchers.append(asyncio.create_task(watch(), name="watch for hang-up"))

    timer = asyncio.get_running_loop().call_later(_PATIENCE_S, begin)
    try:
        yield
    except asyncio.CancelledError:
        if hung_up and work.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        timer.cancel()
        for watcher in watchers:
            watcher.cancel()
