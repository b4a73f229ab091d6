"""The gateway's app: the edge and the protocol's routes around one pipeline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from fastapi import FastAPI

from splitway.environment import read_environment
from splitway.gateway.callers.access import needed_scope
from splitway.gateway.edge.classify import ClassifyRoute, classify_router
from splitway.gateway.edge.docs import gateway_description
from splitway.gateway.edge.open_inference import MODEL, PipelinePlane
from splitway.gateway.edge.open_inference import ROUTE as INFER
from splitway.gateway.edge.problems import refuse, render
from splitway.gateway.edge.status import Status, status_router
from splitway.gateway.fleet.router import Router
from splitway.gateway.flow.compare import Comparer
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.observe.live_metrics import LiveMetrics
from splitway.gateway.paths import CLASSIFY
from splitway.gateway.settings import GatewaySettings
from splitway.gateway.wiring import (
    admission_of,
    body_budget,
    cache_of,
    layers_of,
    make_windows,
    means_of,
    page_of,
    picture_caps,
    prober_of,
    rollout_of,
    stages_of,
    telemetry_of,
    transport_for,
    trial_policy,
)
from splitway.http.errors import install_error_handlers
from splitway.http.fast_routes import FrontedApp
from splitway.http.lifecycle import Lifecycle
from splitway.security.callers.principal import principal_of
from splitway.skins.v2_rest import models_router
from splitway.telemetry.metrics import add_metrics_route
from splitway.wire.v2_json import EXTENSIONS


def _why_not_ready(pipeline: GatewayPipeline) -> str | None:
    return "; ".join(pipeline.why_not_ready().values()) or None


def create_app(settings: GatewaySettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Make the gateway's app.

    Args:
        settings: read from the environment if not given.
        exposed: whether others than this machine reach it.

    Raises:
        SetupError: at once, before anything listens.
    """
    settings = settings or read_environment(GatewaySettings)
    means = means_of(settings, exposed=exposed)
    transport = transport_for(settings)
    telemetry = telemetry_of(settings, exposed=exposed)
    metrics = telemetry.metrics
    limits = replace(settings.limits, takes_packed=not exposed)
    windows, bodies = make_windows(settings), body_budget(settings, metrics)
    stages, admission = stages_of(settings, transport, telemetry), admission_of(settings, metrics)
    router = Router([stage.replicas for stage in stages])
    rollout = rollout_of(settings, router)
    comparer = Comparer(rollout, settings.background_runs, settings.compare_share, random.random)
    pipeline = GatewayPipeline(stages, router, admission, rollout, comparer, trial_policy(settings), cache_of(settings))
    metrics.registry.register(LiveMetrics(pipeline, metrics.expect_head))
    lifecycle = Lifecycle(partial(_why_not_ready, pipeline))
    prober = prober_of(settings, stages, transport, rollout, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await prober.start()
            yield
        finally:
            await prober.close()
            await comparer.close()
            transport.close()
            if pipeline.cache is not None:
                await pipeline.cache.close()
            await windows.close()
            telemetry.settle()
            await asyncio.to_thread(telemetry.tracer.close)

    app = FrontedApp("Splitway", lifespan, described=not exposed)
    app.state.lifecycle, app.state.registry = lifecycle, metrics.registry
    app.state.pipeline = pipeline
    app.state.render, app.state.refuse = render, refuse
    app.documentation = gateway_description(lambda path: means is not None and needed_scope(path) is not None)
    install_error_handlers(app, render)
    caps = picture_caps(settings)
    route = ClassifyRoute(pipeline, settings.limits, settings.max_picture_bytes, caps, telemetry, bodies)
    plane = PipelinePlane(pipeline, telemetry.watch, lifecycle, caps, limits, bodies)
    app.include_router(classify_router(route))
    app.include_router(status_router(Status(pipeline, telemetry, lifecycle)))
    app.include_router(models_router(plane, EXTENSIONS))
    routes = {("POST", CLASSIFY): route.classify, ("POST", INFER): plane.endpoint(MODEL, None)}
    app.put_in_front(layers_of(settings, means, windows, routes, telemetry, lifecycle, exposed=exposed))
    add_metrics_route(app, metrics.registry, settings, lambda request: principal_of(request.scope) is not None)
    app.include_router(page_of(settings, described=not exposed))
    return app
