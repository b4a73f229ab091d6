"""What a stage says of its own trouble, and an engine of its own, is for whoever runs Splitway and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiohttp import web

from splitway.runtime.engines.load import load_engine
from splitway.services.classifier import app as classifier
from testkit.support import free_port
from tests.gateway.conftest import Handler, good_classifier, good_extractor, serving
from tests.gateway.hop.test_stage_client import TROUBLE, refusing
from tests.security.leaks import CLASSIFY, HEALTH, leaks, told
from tests.splitway.runtime.stage_app import serving as stage_app
from tests.tiny_bundles import write_bundle

pytestmark = pytest.mark.alone

JPEG, HURRY = {"content-type": "image/jpeg"}, {"x-request-timeout-ms": "2000"}
PLACE = "canary-place"


LIES = {
    "an error": f'{{"error": "Traceback: File \\"/usr/lib/{PLACE}/stage.py\\", line 1, at 10.1.2.3:8081"}}',
    "a page": f"<html>nginx at 10.1.2.3:80, /etc/{PLACE}</html>",
    "no object": f'["/etc/{PLACE}"]',
}
LIED = f'/usr/lib/{PLACE}/stage.py at 10.1.2.3:8081: Traceback (most recent call last): File "x"'


async def _lies_about_its_version(_: web.Request) -> web.StreamResponse:
    content = {"model_name": LIED, "model_version": LIED, "outputs": [], "parameters": {"feature_space": LIED}}
    return web.Response(body=orjson.dumps(content))


async def _lies_about_its_tensors(_: web.Request) -> web.StreamResponse:
    tensor = {"name": LIED[:80], "datatype": LIED, "shape": [1, 4], "data": [LIED]}
    return web.Response(body=orjson.dumps({"model_name": "x", "model_version": "1", "outputs": [tensor]}))


async def _lies_about_its_space(_: web.Request) -> web.StreamResponse:
    parameters = {"feature_space": LIED}
    tensor = {"name": LIED[:80], "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4], "parameters": parameters}
    return web.Response(body=orjson.dumps({"model_name": "x", "model_version": "1", "outputs": [tensor]}))


@asynccontextmanager
async def _gateway_before(extractor: str, head: str, **environment: str) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway as a process of its own."""
    port = free_port()
    variables = {"SPLITWAY_FEATURE_EXTRACTOR": extractor, "SPLITWAY_CLASSIFIER": head, **environment}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "splitway.cli.main", "serve", "gateway", "--port", str(port)),
        env=os.environ | variables,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            await _becomes(client, "/livez")
            yield client
    finally:
        process.terminate()
        assert await process.wait() == 0


async def _becomes(client: httpx.AsyncClient, path: str) -> None:
    """Wait until it is answered with 200."""
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if (await client.get(path)).status_code == 200:
                return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} is not 200 within half a minute")


async def _says_nothing(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


_REFUSED = [(400, "a page"), (400, "no object"), (409, "a page"), (409, "no object")]
_TROUBLED = [(status, name) for status in (404, 418, 500, 502, 503, 504) for name in LIES]
LIARS: dict[str, Handler] = {
    **{f"{status} with {name}": refusing(status, LIES[name]) for status, name in (*_REFUSED, *_TROUBLED)},
    "200 with a page": refusing(200, LIES["a page"]),
    **{name: TROUBLE[name][0] for name in ("half a tensor", "reply broken off", "connection closed")},
    "silence": _says_nothing,
    "another version": _lies_about_its_version,
    "another datatype": _lies_about_its_tensors,
    "another space": _lies_about_its_space,
}


async def test_what_a_stage_says_of_its_own_trouble_is_not_handed_on() -> None:
    """Not by a gateway as it runs, with a stage before it that has a liar's turn for each request."""
    turn: list[Handler] = []

    async def liar(request: web.Request) -> web.StreamResponse:
        return await turn[0](request)

    seen: set[int] = set()
    async with (
        serving("feature_extractor", liar) as one,
        serving("classifier", good_classifier) as two,
        _gateway_before(one, two, SPLITWAY_BREAKERS="forced_closed", SPLITWAY_PROBE_INTERVAL_MS="50") as client,
    ):
        for name, handler in LIARS.items():
            turn[:] = [handler]
            await _becomes(client, "/readyz")  # it may have said that it no longer serves what it should
            tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["x"]}
            for reply in (
                await client.post(f"{CLASSIFY}?timeline=true", content=b"x", headers=JPEG | HURRY),
                await client.post("/v2/models/pipeline/infer", json={"inputs": [tensor]}, headers=HURRY),
                await client.get("/readyz"),
            ):
                assert not leaks(told(reply), PLACE), (name, told(reply))
                seen.add(reply.status_code)
    assert {502, 503, 504} <= seen


async def test_nor_what_it_says_of_itself() -> None:
    async def odd(_: web.Request) -> web.StreamResponse:
        return web.Response(body=orjson.dumps({"ready": False, "reason": LIED, "models": []}))

    app = web.Application()
    app.router.add_get("/v1/stage", odd)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    try:
        async with (
            serving("feature_extractor", good_extractor) as one,
            _gateway_before(one, f"http://127.0.0.1:{port}") as client,
        ):
            for path in HEALTH:
                reply = await client.get(path)
                assert not leaks(told(reply), PLACE), told(reply)
            reply = await client.post(CLASSIFY, content=b"x", headers=JPEG)
            assert reply.status_code == 503
            assert not leaks(told(reply), PLACE), told(reply)
            assert LIED in (await client.get("/v1/pipeline")).text.replace('\\"', '"')
    finally:
        await runner.cleanup()


class _Failing:
    """An engine whose library says too much."""

    name = "litert"

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.fails = False

    def infer(self, inputs: Any) -> Any:
        if self.fails:
            raise RuntimeError(LIED)
        return self._engine.infer(inputs)


async def test_what_an_engine_says_stays_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engines: list[_Failing] = []

    def load(*arguments: Any) -> _Failing:
        engines.append(_Failing(load_engine(*arguments)))
        return engines[-1]

    monkeypatch.setattr("splitway.runtime.catalog.served.load_engine", load)
    write_bundle(tmp_path, "classifier", 1)
    async with stage_app(classifier.create_app, tmp_path) as stage:
        for engine in engines:
            engine.fails = True
        failed = await stage.post("classifier")
    assert (failed.status_code, failed.json()) == (500, {"error": "the model fails on its warm-up input as well"})
    assert LIED in caplog.text
