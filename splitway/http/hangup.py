"""Stop working for a caller who hung up."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

_PATIENCE_S = 0.02
"""Work that is done sooner is not worth a task that watches."""


class while_connected:  # noqa: N801 - used as a function; a class because a generator costs three times as much
    """Cancel what is done inside when the caller hangs up. To be entered when the body has been read.

    Raises:
        ClientDisconnect: in place of the cancellation that the hang-up caused.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._hung_up = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        work = asyncio.current_task()
        assert work is not None
        self._work = work
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE_S, self._begin)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if kind is asyncio.CancelledError and self._hung_up and self._work.uncancel() == 0:
            raise ClientDisconnect from None

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch(), name="watch for hang-up")

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._hung_up = True
        self._work.cancel()
