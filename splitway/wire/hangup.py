"""Stop working for a caller who hung up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request


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

    watcher = asyncio.create_task(watch(), name="watch for hang-up")
    try:
        yield
    except asyncio.CancelledError:
        if hung_up and work.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()
