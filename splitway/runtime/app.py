"""The app of any stage: health, metrics, inventory and Open Inference Protocol routes around its models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from splitway.environment import read_environment
from splitway.errors import SetupError, SplitwayError
from splitway.http.errors import install_error_handlers
from splitway.http.fast_routes import FrontedApp, Layer, short_way
from splitway.http.hosts import host_check
from splitway.runtime import stage_docs
from splitway.runtime.catalog.catalog import Scope
from splitway.runtime.catalog.inventory import inventory_router
from splitway.runtime.catalog.repository import Repository
from splitway.runtime.catalog.served import MakeStage
from splitway.runtime.settings import StageSettings
from splitway.security.service_token import ServiceToken, read_tokens
from splitway.skins.v2_rest import json_response, live_response, models_router, v2_error
from splitway.telemetry.metrics import add_metrics_route, metrics_port
from splitway.wire.v2_json import EXTENSIONS


def _refuse(error: SplitwayError, _status: int, _path: str) -> tuple[str, bytes]:
    """The media type and the body of an answer to what never became a request."""
    answer = v2_error(error)
    return str(answer.media_type), bytes(answer.body)


def _render(_: Request, error: SplitwayError) -> Response:
    return v2_error(error)


def create_stage_app(
    scope: Scope, make_stage: MakeStage, settings: StageSettings | None = None, *, exposed: bool = False
) -> FastAPI:
    """Make the app that serves one stage's bundles.

    Args:
        scope: which bundles are served.
        make_stage: the service's own part.
        settings: read from the environment if not given.
        exposed: whether others than this machine reach it.

    Raises:
        BundleError, SetupError: at once, before anything listens.
    """
    settings = settings or read_environment(StageSettings)
    _check_is_closed(settings, exposed=exposed)
    repository = Repository(scope, make_stage, settings)
    repository.check()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        repository.start()
        try:
            yield
        finally:
            await repository.close()

    app = FrontedApp(f"Splitway {scope.name}", lifespan, described=not exposed)
    app.state.lifecycle = repository.lifecycle
    app.state.render, app.state.refuse = _render, _refuse
    app.documentation = stage_docs.stage_description(needs_token=settings.service_token is not None)
    registry = app.state.registry = repository.telemetry.registry
    install_error_handlers(app, _render)
    app.include_router(models_router(repository.directory, [*EXTENSIONS, "model_repository"]))
    app.include_router(inventory_router(repository, settings))
    _add_health(app, repository)
    add_metrics_route(app, registry, settings)
    app.put_in_front(_layers(settings, repository, exposed=exposed))
    return app


def _layers(settings: StageSettings, repository: Repository, *, exposed: bool) -> list[Layer | None]:
    """What a request meets before the framework, in this order."""
    lifecycle, registry = repository.lifecycle, repository.telemetry.registry
    tokens = read_tokens(settings.service_token)
    return [
        host_check(settings, _render, exposed=exposed),
        metrics_port(settings, registry, lambda: lifecycle.not_ready_because),
        partial(ServiceToken, tokens=tokens, render=_render) if tokens else None,
        short_way(repository.directory.routes, _render),
    ]


def _check_is_closed(settings: StageSettings, *, exposed: bool) -> None:
    """Raise SetupError if strangers would reach the stage, and no setting allows that."""
    knows_the_gateway = settings.identity is not None or settings.service_token is not None
    if exposed and not knows_the_gateway and settings.auth != "open-to-everyone":
        raise SetupError(
            "the stage would be reachable from other machines without authentication: set "
            "SPLITWAY_IDENTITY (splitway certs create makes it) or SPLITWAY_SERVICE_TOKEN_FILE; if everyone who "
            "reaches it may use it, say so: SPLITWAY_AUTH=open-to-everyone"
        )


def _add_health(app: FastAPI, repository: Repository) -> None:
    health = APIRouter(tags=[stage_docs.HEALTH], default_response_class=Response)

    @health.get("/livez", **stage_docs.LIVEZ)
    async def livez() -> Response:
        return live_response(repository.lifecycle.hang)

    @health.get("/readyz", **stage_docs.READYZ)
    async def readyz() -> Response:
        reason = repository.lifecycle.not_ready_because
        return json_response({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)

    app.include_router(health)
