"""The gateway's app: the edge and the protocol's routes around one pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI

from splitway.environment import read_environment
from splitway.gateway import wiring
from splitway.gateway.callers.access import needed_scope
from splitway.gateway.edge.classify import ClassifyRoute, classify_router
from splitway.gateway.edge.docs import gateway_description
from splitway.gateway.edge.open_inference import PipelinePlane
from splitway.gateway.edge.problems import refuse, render
from splitway.gateway.edge.status import Status, status_router
from splitway.gateway.observe.live_metrics import LiveMetrics
from splitway.gateway.paths import CLASSIFY, INFER
from splitway.gateway.settings import GatewaySettings
from splitway.http.errors import install_error_handlers
from splitway.http.fast_routes import FrontedApp
from splitway.http.lifecycle import Lifecycle
from splitway.names import PIPELINE
from splitway.security.callers.principal import principal_of
from splitway.skins.v2_rest import models_router
from splitway.telemetry.metrics import add_metrics_route
from splitway.wire.v2_json import EXTENSIONS


def create_app(settings: GatewaySettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Make the gateway's app.

    Args:
        settings: read from the environment if not given.
        exposed: whether others than this machine reach it.

    Raises:
        SetupError: at once, before anything listens.
    """
    settings = settings or read_environment(GatewaySettings)
    means = wiring.means_of(settings, exposed=exposed)
    transport = wiring.transport_for(settings)
    telemetry = wiring.telemetry_of(settings, exposed=exposed)
    metrics = telemetry.metrics
    windows, bodies = wiring.make_windows(settings), wiring.body_budget(settings, metrics)
    pipeline = wiring.pipeline_of(settings, transport, telemetry)
    metrics.registry.register(LiveMetrics(pipeline, metrics.expect_head))
    lifecycle = Lifecycle(lambda: "; ".join(pipeline.why_not_ready().values()) or None)
    prober = wiring.prober_of(settings, pipeline, transport, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await prober.start()
            yield
        finally:
            await prober.close()
            await pipeline.close()
            transport.close()
            await windows.close()
            telemetry.settle()
            await asyncio.to_thread(telemetry.tracer.close)

    app = FrontedApp("Splitway", lifespan, described=not exposed)
    app.state.lifecycle, app.state.registry = lifecycle, metrics.registry
    app.state.pipeline = pipeline
    app.state.render, app.state.refuse = render, refuse
    app.documentation = gateway_description(lambda path: means is not None and needed_scope(path) is not None)
    install_error_handlers(app, render)
    limits = replace(settings.limits, takes_packed=not exposed)
    route = ClassifyRoute(pipeline, telemetry.watch, limits, settings.picture_limits, bodies)
    plane = PipelinePlane(pipeline, telemetry.watch, limits, settings.picture_limits, bodies, lifecycle)
    app.include_router(classify_router(route))
    app.include_router(status_router(Status(pipeline, telemetry, lifecycle, settings.launched)))
    app.include_router(models_router(plane, EXTENSIONS))
    routes = {("POST", CLASSIFY): route.classify, ("POST", INFER): plane.endpoint(PIPELINE, None)}
    app.put_in_front(wiring.layers_of(settings, means, windows, routes, telemetry, lifecycle, exposed=exposed))
    add_metrics_route(app, metrics.registry, settings, lambda request: principal_of(request.scope) is not None)
    app.include_router(wiring.page_of(settings, described=not exposed))
    return app
