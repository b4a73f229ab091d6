"""The app of any stage: health, metrics and Open Inference Protocol routes around one bundle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from splitway import __version__
from splitway.bundle import Bundle, Role, find_bundle, load_bundle
from splitway.errors import SplitwayError, Unavailable
from splitway.runtime.batcher import Batcher, BatchPolicy
from splitway.runtime.cores import available_cores
from splitway.runtime.dataplane import DataPlane
from splitway.runtime.engine import (
    BATCHES_AT_ONCE,
    PREFERRED_BATCH_ROWS,
    SIDE_BY_SIDE,
    Arrays,
    Engine,
    load_engine,
    warm_up,
)
from splitway.runtime.engine_pool import EnginePool, slots_for
from splitway.runtime.observe import StageMetrics
from splitway.runtime.priority import give_way
from splitway.runtime.settings import StageSettings
from splitway.runtime.stage import Stage
from splitway.wire.environment import read_environment
from splitway.wire.http_errors import install_error_handlers
from splitway.wire.lifecycle import Lifecycle
from splitway.wire.short_way import FrontedApp, ShortWay
from splitway.wire.v2_rest import infer_endpoint, json_response, v2_error, v2_router

MakeStage = Callable[[Bundle, StageSettings], Stage]


class StageRuntime:
    """One bundle being served: engine, batch loop and decoders, from start to stop."""

    def __init__(self, bundle: Bundle, make_stage: MakeStage, settings: StageSettings) -> None:
        self._bundle = bundle
        self._settings = settings
        self._stage = make_stage(bundle, settings)
        self._engines: EnginePool | None = None
        self._loading: asyncio.Task[None] | None = None
        self._threads = settings.engine_threads(bundle.manifest.role)
        self.metrics = StageMetrics(bundle.manifest, settings.engine)
        self.lifecycle = Lifecycle(self._not_ready_because)
        batch_rows = settings.max_batch_rows or PREFERRED_BATCH_ROWS[settings.engine]
        slots = slots_for(self._threads, parallel=SIDE_BY_SIDE[settings.engine])
        policy = BatchPolicy(
            batch_rows, settings.max_batch_wait_ms / 1000, settings.queue_rows, slots, BATCHES_AT_ONCE[settings.engine]
        )
        self._batcher = Batcher(self._infer, policy)
        self._decoders = (
            ThreadPoolExecutor(available_cores(), thread_name_prefix="decode", initializer=give_way)
            if batch_rows > 1
            else None
        )
        self.plane = DataPlane(
            bundle,
            self._stage,
            self._batcher,
            self._decoders,
            self.metrics,
            self.lifecycle,
            max_rows=settings.max_rows,
        )

    def start(self) -> None:
        self._batcher.start()
        self._loading = asyncio.create_task(self._load(), name="load engine")

    async def close(self) -> None:
        await self._batcher.close()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._decoders is not None:
            self._decoders.shutdown(wait=True, cancel_futures=True)

    async def _load(self) -> None:
        """Load and warm the engine beside the loop, so that the process is live, though not ready, meanwhile."""
        try:
            self._engines = await asyncio.to_thread(self._loaded_and_warm)
        except SplitwayError as error:
            self.lifecycle.fail(error.detail)
        except Exception as error:
            self.lifecycle.fail(f"the engine {self._settings.engine} cannot be started: {error}")

    def _loaded_and_warm(self) -> EnginePool:
        name = self._settings.engine

        def load(threads: int) -> Engine:
            engine = load_engine(name, self._bundle, threads)
            warm_up(engine, self._bundle)
            return engine

        engines = EnginePool(load, self._threads, parallel=SIDE_BY_SIDE[name])
        self._stage.warm_up()
        return engines

    def _infer(self, inputs: Arrays, alone: bool) -> dict[str, NDArray[Any]]:
        if self._engines is None:
            raise Unavailable("the engine is still warming up", stage=self._bundle.manifest.name, retry_after_s=1)
        return self._engines.infer(inputs, alone)

    def _not_ready_because(self) -> str | None:
        if self._engines is None:
            return "warming up"
        return None if self._batcher.alive else "the batch loop has died"


def _render(_: Request, error: SplitwayError) -> Response:
    return v2_error(error)


def create_stage_app(name: str, role: Role, make_stage: MakeStage, settings: StageSettings | None = None) -> FastAPI:
    """Make the app that serves one stage's bundle.

    Args:
        name: the stage, and the folder below `models` that holds its versions.
        role: the role that the bundle must have.
        make_stage: the service's own part.
        settings: read from the environment if not given.

    Raises:
        BundleError, SetupError: at once, before anything listens.
    """
    settings = settings or read_environment(StageSettings)
    bundle = load_bundle(find_bundle(settings.models, name, settings.model_version), role=role)
    runtime = StageRuntime(bundle, make_stage, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runtime.start()
        try:
            yield
        finally:
            await runtime.close()

    app = FrontedApp(title=f"Splitway {name}", version=__version__, lifespan=lifespan, redirect_slashes=False)
    app.state.lifecycle = runtime.lifecycle
    install_error_handlers(app, _render)
    routes = {("POST", f"/v2/models/{name}/infer"): infer_endpoint(runtime.plane, settings.limits)}
    app.front = ShortWay(app.layers, routes, _render)
    app.include_router(v2_router(runtime.plane, settings.limits))
    _add_health(app, runtime)
    return app


def _add_health(app: FastAPI, runtime: StageRuntime) -> None:
    async def livez() -> Response:
        return json_response({"live": True})

    async def readyz() -> Response:
        reason = runtime.lifecycle.not_ready_because
        return json_response({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(runtime.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    for path, endpoint in (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_api_route(path, endpoint, methods=["GET"], response_class=Response, tags=["health"])
