"""The short way in: the few routes that carry the load are answered without the framework's layers.

They are routes of the framework as well, and behave the same there; what is saved is its matching, dependencies and
exit stacks (docs/adr/0008).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from splitway.http.errors import Render, as_ours, is_for_callers
from splitway.http.openapi import Description
from splitway.http.pages import docs_router
from splitway.version import __version__

_log = logging.getLogger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]
Layer = Callable[[ASGIApp], ASGIApp]
"""Puts an ASGI app in front of another."""
OPENAPI = "/openapi.json"
"""Where an app describes itself; without it, it has no page of that description either."""

_BESIDE = [{"url": "."}]
"""Where the app is, seen from its description: in the same folder, whatever a proxy put before that."""


def short_way(routes: Mapping[tuple[str, str], Endpoint], render: Render) -> Layer:
    """Answer these routes, by method and exact path, in front of an app that answers every other."""

    def layer(app: ASGIApp) -> ASGIApp:
        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            route = (scope["method"], scope["path"]) if scope["type"] == "http" else None
            endpoint = None if route is None else routes.get(route)
            if route is None or endpoint is None:
                await app(scope, receive, send)
                return
            request = Request(scope, receive, send)
            try:
                response = await endpoint(request)
            except Exception as error:
                if not is_for_callers(error) and not isinstance(error, ClientDisconnect):
                    _log.exception("%s %s", *route)
                response = render(request, as_ours(error))
            await response(scope, receive, send)

        return answered

    return layer


class FrontedApp(FastAPI):
    """A FastAPI app with layers of ours in front of all the framework's. One that is `described` answers with its
    description."""

    _front: ASGIApp | None = None
    documentation: Description | None = None
    """Completes what the app says of itself in OpenAPI."""

    def __init__(self, title: str, lifespan: Lifespan[Any] | None = None, *, described: bool = True) -> None:
        super().__init__(
            title=title,
            version=__version__,
            lifespan=lifespan,
            redirect_slashes=False,
            servers=_BESIDE,
            openapi_url=OPENAPI if described else None,
            docs_url=None,  # the framework's own pages load from afar
            redoc_url=None,
        )

    def setup(self) -> None:
        """Add the routes that describe the app, which has ours and not the framework's pages."""
        super().setup()
        if self.openapi_url:
            self.include_router(docs_router())

    def put_in_front(self, layers: Sequence[Layer | None]) -> None:
        """Put layers in front, in the order in which a request meets them; None is one that is left out."""
        front: ASGIApp = self.layers
        for layer in filter(None, reversed(layers)):
            front = layer(front)
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._front is None or scope["type"] != "http":
            await self.layers(scope, receive, send)
        else:
            await self._front(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The app's description of itself; made once, at the first request for it."""
        if self.openapi_schema is None and self.documentation is not None:
            self.documentation.complete(super().openapi())
        return super().openapi()

    async def layers(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The framework's own way in. HEAD is GET, of which the server sends no body."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await super().__call__(scope, receive, send)
