"""The app of any stage: health, metrics, inventory and Open Inference Protocol routes around its models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from splitway import __version__
from splitway.errors import SplitwayError
from splitway.manifest import Role
from splitway.runtime.catalog import Scope
from splitway.runtime.inventory import inventory_router
from splitway.runtime.repository import Repository
from splitway.runtime.served import MakeStage
from splitway.runtime.settings import StageSettings
from splitway.telemetry.metrics import MetricsPort, add_metrics_route
from splitway.wire.environment import read_environment
from splitway.wire.http_errors import install_error_handlers
from splitway.wire.short_way import FrontedApp, ShortWay
from splitway.wire.v2_json import EXTENSIONS
from splitway.wire.v2_rest import json_response, models_router, v2_error


def _render(_: Request, error: SplitwayError) -> Response:
    return v2_error(error)


def create_stage_app(
    name: str,
    role: Role,
    make_stage: MakeStage,
    settings: StageSettings | None = None,
    *,
    every_name: bool = False,
) -> FastAPI:
    """Make the app that serves one stage's bundles.

    Args:
        name: the stage, and the folder below `models` that holds its versions.
        role: the role that the bundles must have.
        make_stage: the service's own part.
        settings: read from the environment if not given.
        every_name: serve the bundles of every other name as well whose newest one has the role.

    Raises:
        BundleError, SetupError: at once, before anything listens.
    """
    settings = settings or read_environment(StageSettings)
    repository = Repository(Scope(name, role, every_name), make_stage, settings)
    repository.check()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        repository.start()
        try:
            yield
        finally:
            await repository.close()

    app = FrontedApp(title=f"Splitway {name}", version=__version__, lifespan=lifespan, redirect_slashes=False)
    app.state.lifecycle = repository.lifecycle
    registry = repository.telemetry.metrics.registry
    install_error_handlers(app, _render)
    app.front = ShortWay(app.layers, repository.routes, _render)
    app.include_router(models_router(repository, [*EXTENSIONS, "model_repository"]))
    app.include_router(inventory_router(repository, settings))
    _add_health(app, repository)
    add_metrics_route(app, registry, settings)
    if settings.metrics_port:
        app.front = MetricsPort(app.front, settings.metrics_port, registry)
    return app


def _add_health(app: FastAPI, repository: Repository) -> None:
    async def livez() -> Response:
        return json_response({"live": True})

    async def readyz() -> Response:
        reason = repository.lifecycle.not_ready_because
        return json_response({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)

    for path, endpoint in (("/livez", livez), ("/readyz", readyz)):
        app.add_api_route(path, endpoint, methods=["GET"], response_class=Response, tags=["health"])
