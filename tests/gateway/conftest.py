"""Stages that lie: small servers that answer whatever a test tells them to."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from aiohttp import web

from splitway.gateway.app import create_app
from splitway.gateway.settings import GatewaySettings
from splitway.wire.messages import InferRequest, InferResponse
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_response

SPACE = "fs:0123456789abcdef"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Gateway = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(autouse=True)
def same_chance() -> None:
    """Which replica is asked, and which requests a canary gets, is chance: each test has the same one in every run."""
    random.seed(1)


IMAGE = {"name": "image", "datatype": "BYTES", "shape": [-1]}
FEATURES = {"name": "features", "datatype": "FP32", "shape": [-1, 4]}
CLASSES = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}
Entry = dict[str, Any]


def extractor_entry(version: str = "1", space: str = SPACE, **more: Any) -> Entry:
    """An extractor in an inventory."""
    return {
        "name": "feature_extractor",
        "version": version,
        "state": "ready",
        "reason": None,
        "is_default": True,
        "role": "extractor",
        "feature_space": space,
        "gives_space": None,
        "engine": "litert",
        "source_model": "small",
        "cut": "features",
        "inputs": [IMAGE],
        "outputs": [FEATURES],
        **more,
    }


def head_entry(name: str = "classifier", version: str = "1", space: str = SPACE, **more: Any) -> Entry:
    """A head in an inventory."""
    head = {"name": name, "role": "head", "inputs": [FEATURES], "outputs": [CLASSES]}
    return extractor_entry(version, space, **{**head, **more})


def body_entry(name: str, takes: str, gives: str, version: str = "1") -> Entry:
    """A body in an inventory."""
    body = {"name": name, "role": "body", "gives_space": gives, "inputs": [FEATURES], "outputs": [FEATURES]}
    return extractor_entry(version, takes, **body)


def default_entries(stage: str) -> list[Entry]:
    return [extractor_entry()] if stage == "feature_extractor" else [head_entry(stage)]


def answer(model: str, *tensors: Tensor, feature_space: str | None = SPACE, version: str = "1") -> web.Response:
    """A well-formed binary answer of a stage."""
    parameters = {"feature_space": feature_space} if feature_space else {}
    tensors = tuple(Tensor(t.name, t.datatype, t.shape, t.data, parameters) for t in tensors)
    request = InferRequest((), parameters={"binary_data_output": True})
    body, length = build_response(InferResponse(model, version, tensors), request)
    return web.Response(body=body, headers={HEADER_LENGTH: length or str(len(body))})


def features(rows: int = 1) -> Tensor:
    return Tensor.of_array("features", np.ones((rows, 4), np.float32))


def classes(*elements: bytes) -> Tensor:
    return Tensor.of_bytes("probabilities", elements, (1, len(elements)))


async def good_extractor(_: web.Request) -> web.StreamResponse:
    return answer("feature_extractor", features())


async def good_classifier(_: web.Request) -> web.StreamResponse:
    return answer("classifier", classes(b"0.75:1:dog", b"0.25:0:cat"))


@asynccontextmanager
async def serving(
    stage: str,
    handler: Handler,
    models: Sequence[Entry] | None = None,
    *,
    port: int = 0,
    on_probe: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[str]:
    """Run a stage whose inferences are answered by `handler`; its inventory says `models`, as they are when asked.

    `on_probe` is waited for before a probe is answered.
    """
    entries = default_entries(stage) if models is None else models

    async def inventory(_: web.Request) -> web.Response:
        if on_probe is not None:
            await on_probe()
        content = {"stage": stage, "ready": True, "reason": None, "models": list(entries)}
        return web.Response(body=orjson.dumps(content), content_type="application/json")

    app = web.Application()
    app.router.add_get("/v1/stage", inventory)
    app.router.add_post("/v2/models/{model}/versions/{version}/infer", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def gateway_before() -> Gateway:
    """Make a gateway in front of lying stages, as a client to call it with."""

    @asynccontextmanager
    async def make(
        extractor: Handler = good_extractor, classifier: Handler = good_classifier, **settings: object
    ) -> AsyncIterator[httpx.AsyncClient]:
        async with serving("feature_extractor", extractor) as one, serving("classifier", classifier) as two:
            app = create_app(GatewaySettings.model_validate({"feature_extractor": one, "classifier": two, **settings}))
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30) as client,
            ):
                yield client

    return make
