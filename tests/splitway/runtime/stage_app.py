"""A stage's app in this process, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray

from splitway.runtime.settings import StageSettings
from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request, parse_response
from tests.tiny_bundles import SPACE, WIDTH

FEATURES = {"features": np.linspace(-1, 1, 2 * WIDTH, dtype=np.float32).reshape(2, WIDTH)}
KEY = "the administrator's schlüssel"
Create = Callable[[StageSettings], FastAPI]


class StageClient:
    """Asks a stage what the tests want to know."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def post(
        self, path: str, inputs: Mapping[str, NDArray[Any]] = FEATURES, space: str | None = SPACE, **options: Any
    ) -> httpx.Response:
        """One inference; `options` are the request's own, such as its outputs."""
        says = {} if space is None else {"feature_space": space}
        tensors = tuple(Tensor.of_array(name, array, says) for name, array in inputs.items())
        options.setdefault("parameters", {"binary_data_output": True})
        body, length = build_request(InferRequest(tensors, **options))
        return await self.http.post(f"/v2/models/{path}/infer", content=body, headers={HEADER_LENGTH: length})

    async def infer(self, path: str, inputs: Mapping[str, NDArray[Any]] = FEATURES, **options: Any) -> InferResponse:
        reply = await self.post(path, inputs, **options)
        assert reply.status_code == 200, reply.text
        return parse_response(reply.content, reply.headers.get(HEADER_LENGTH))

    async def stage(self) -> dict[str, Any]:
        content: dict[str, Any] = (await self.http.get("/v1/stage")).json()
        return content

    async def states(self, name: str = "classifier") -> dict[str, str]:
        """By version; the default one has a star."""
        return {
            entry["version"]: entry["state"] + "*" * entry["is_default"]
            for entry in (await self.stage())["models"]
            if entry["name"] == name
        }

    async def until(self, expected: Mapping[str, str], name: str = "classifier") -> None:
        """Wait until these are a model's versions and states."""
        seen: Mapping[str, str] = {}
        for _ in range(1000):
            if (seen := await self.states(name)) == expected:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{name} stayed {seen}, not {expected}")

    async def admin(self, path: str, key: str | None = KEY, **body: Any) -> httpx.Response:
        headers = {} if key is None else {b"authorization": f"Bearer {key}".encode()}
        return await self.http.post(f"/v2/repository/{path}", json=body, headers=headers)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something; fail if it does not come."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come within ten seconds")


@asynccontextmanager
async def serving(create: Create, models: Path, *, ready: bool = True, **settings: Any) -> AsyncIterator[StageClient]:
    """The app, ready and looking for new bundles a hundred times a second."""
    app = create(StageSettings(**{"models": models, "rescan_ms": 10, "keep_old_s": 0, **settings}))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://stage") as http,
    ):
        if ready:
            await eventually(lambda: app.state.lifecycle.not_ready_because != "warming up")
            assert app.state.lifecycle.not_ready_because is None
        yield StageClient(http)
