"""Every request has an id: the caller's if it is usable, else a new one; it is on every answer."""

from __future__ import annotations

import secrets
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splitway.telemetry.watch import REQUEST_ID, usable_id

_NAME = REQUEST_ID.encode()
_KEPT = b"cache-control"
_NOT_KEPT = ((_KEPT, b"no-store"), (b"x-content-type-options", b"nosniff"))
"""No cache keeps what was said of somebody's picture, and no browser takes it for anything but what it says it is."""


def came_in_s(request: Request) -> float:
    """When a request came in, by `time.perf_counter`."""
    return float(request.state.came_s)


class RequestId:
    """ASGI middleware that sets `x-request-id` on the request, its state and the answer, and notes when it came in.

    An answer of which the app does not say how it may be kept is not to be kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came_s = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == _NAME), b"")
        id_ = usable_id(given.decode("latin-1")) or secrets.token_hex(16)
        others = [header for header in scope["headers"] if header[0] != _NAME]
        scope["headers"] = [*others, (_NAME, id_.encode())]
        state = scope.setdefault("state", {})
        state["request_id"], state["came_s"] = id_, came_s

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = [header for header in message["headers"] if header[0] != _NAME]
                is_kept = any(name == _KEPT for name, _ in said)  # the page's parts say themselves how
                message["headers"] = [*said, (_NAME, id_.encode()), *(() if is_kept else _NOT_KEPT)]
            await send(message)

        await self._app(scope, receive, send_with_id)
