"""A request meets the layers in the order in which they are listed."""

from __future__ import annotations

from functools import partial

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from splitway.http.fast_routes import FrontedApp, Layer


def _noting(name: str, met: list[str]) -> Layer:
    async def note(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        met.append(name)
        await app(scope, receive, send)

    return lambda app: partial(note, app)


async def test_layers_are_met_in_their_order_and_one_that_is_left_out_is_none() -> None:
    app, met = FrontedApp("app", described=False), list[str]()
    app.put_in_front([_noting("first", met), None, _noting("second", met)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        assert (await client.get("/none")).status_code == 404
    assert met == ["first", "second"]


async def test_without_layers_the_framework_answers() -> None:
    app = FrontedApp("app", described=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        assert (await client.get("/none")).status_code == 404
