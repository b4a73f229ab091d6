"""Every request has an id: the caller's if it is usable, else a new one; it is on every answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from splitway.http.server.request_head import Header
from splitway.names import REQUEST_ID_HEADER
from splitway.telemetry.watch import usable_id

_NAME = REQUEST_ID_HEADER.encode()
_KEPT = b"cache-control"
_NOT_KEPT = [(_KEPT, b"no-store"), (b"x-content-type-options", b"nosniff")]
"""Caches do not store answers about a caller's picture, and browsers do not guess another media type."""


def came_in_s(request: Request) -> float:
    """When a request came in, by `time.perf_counter`."""
    return float(request.state.came_s)


class RequestId:
    """ASGI middleware that sets `x-request-id` on the request, its state and the answer, and notes when it came in.

    Of several that a caller sends the last counts. An answer of which the app does not say how it may be kept is not
    to be kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        came_s = time.perf_counter()
        given = dict(scope["headers"]).get(_NAME)
        id_ = (None if given is None else usable_id(given.decode("latin-1"))) or secrets.token_hex(16)
        scope["headers"] = _with_id(scope["headers"], id_, has_one=given is not None)
        state = scope.setdefault("state", {})
        state["request_id"], state["came_s"] = id_, came_s

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = dict(message["headers"])
                headers = _with_id(message["headers"], id_, has_one=_NAME in said)
                message["headers"] = headers if _KEPT in said else headers + _NOT_KEPT  # the page's parts say how
            await send(message)

        await self._app(scope, receive, send_with_id)


def _with_id(headers: Iterable[Header], id_: str, *, has_one: bool) -> list[Header]:
    others = (header for header in headers if header[0] != _NAME) if has_one else headers
    return [*others, (_NAME, id_.encode())]
