"""The gateway's app: the edge and the protocol's routes around one pipeline."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from gateway.callers.access import Access, Means, means_of, needed_scope
from gateway.callers.caller import caller_of
from gateway.callers.limits import Allowance, allowance_policy, make_windows
from gateway.edge.classify import Edge, edge_router
from gateway.edge.cost import PictureCaps
from gateway.edge.docs import gateway_description
from gateway.edge.open_inference import ROUTE as INFER
from gateway.edge.open_inference import PipelinePlane
from gateway.edge.problems import refuse, render
from gateway.edge.request_id import RequestId
from gateway.fleet.prober import ProbedStage, Prober
from gateway.fleet.replica import BalancePolicy
from gateway.fleet.replicas import ReplicaSet
from gateway.fleet.router import Router
from gateway.flow.compare import Comparer
from gateway.flow.feature_cache import FeatureCache, MemoryStore
from gateway.flow.pipeline import Pipeline, TrialPolicy
from gateway.hop.attempt import AttemptMaker
from gateway.hop.events import BreakerMoved
from gateway.hop.stage_client import StageClient
from gateway.observe.live_metrics import LiveMetrics
from gateway.observe.metrics import GatewayMetrics
from gateway.observe.telemetry import GatewayTelemetry
from gateway.page.routes import Page, page_router
from gateway.paths import CLASSIFY
from gateway.resilience.admission import Admission, AdmissionPolicy
from gateway.resilience.breaker import BreakerState, BreakerTransition
from gateway.resilience.budget import BudgetPolicy, RetryBudget
from gateway.resilience.hedge import HedgeDelay
from gateway.resilience.limiter import AdaptiveLimit, LimitPolicy
from gateway.rollout.file import ReleaseFile
from gateway.rollout.follow import Follower
from gateway.rollout.rollout import Rollout
from gateway.settings import GatewaySettings, StageConfig
from gateway.transport.transport import Transport, transport_for
from splitway import __version__
from splitway.security.principal import principal_of
from splitway.telemetry.metrics import MetricsPort, add_metrics_route
from splitway.wire.body_budget import BodyBudget
from splitway.wire.body_metrics import BodyMetrics
from splitway.wire.environment import read_environment
from splitway.wire.http_errors import install_error_handlers
from splitway.wire.lifecycle import Lifecycle
from splitway.wire.short_way import OPENAPI, FrontedApp, ShortWay
from splitway.wire.v2_rest import infer_endpoint, v2_router


def _why_not_ready(pipeline: Pipeline) -> str | None:
    return "; ".join(pipeline.why_not_ready().values()) or None


def _stage_client(
    stage: StageConfig, settings: GatewaySettings, transport: Transport, telemetry: GatewayTelemetry, *, is_first: bool
) -> StageClient:
    def on_transition(url: str, transition: BreakerTransition) -> None:
        telemetry.on_event(BreakerMoved(stage.name, url, transition))

    replicas = ReplicaSet(
        stage.urls,
        time.monotonic,
        random.random,
        policy=BalancePolicy(unreachable_after=settings.probe_failures),
        on_transition=on_transition,
        on_new=partial(telemetry.metrics.expect, stage.name),
        on_gone=partial(telemetry.metrics.forget, stage.name),
        forced=None if settings.breakers == "automatic" else BreakerState(settings.breakers),
    )
    attempt = AttemptMaker(
        stage.name,
        replicas,
        transport,
        takes_callers_input=is_first,
        timeout_s=settings.attempt_timeout_ms / 1000,
        on_event=telemetry.on_event,
    )
    budget = RetryBudget(BudgetPolicy(per_call=settings.retry_share), time.monotonic)
    quantile = settings.hedge.get(stage.name)
    hedge = None if quantile is None else HedgeDelay(quantile)
    return StageClient(stage.name, replicas, attempt, budget, telemetry.on_event, hedge=hedge)


def _rollout(settings: GatewaySettings, router: Router) -> Rollout:
    file = ReleaseFile(Path(settings.releases)) if settings.releases else None
    return Rollout(file, settings.rollback, time.monotonic, random.random, router.coverage)


def _trial_policy(settings: GatewaySettings) -> TrialPolicy:
    second_chances = BudgetPolicy(cap=max(10.0, float(settings.rollback_min_requests)))
    return TrialPolicy(settings.attempt_timeout_ms / 1000, RetryBudget(second_chances, time.monotonic))


def _cache(settings: GatewaySettings) -> FeatureCache | None:
    if settings.cache == "off":
        return None
    if settings.cache == "memory":
        return FeatureCache(MemoryStore(settings.cache_bytes))

    from gateway.flow.redis_store import RedisStore

    return FeatureCache(RedisStore(settings.cache, settings.cache_keep_s))


def _body_budget(settings: GatewaySettings, metrics: GatewayMetrics) -> BodyBudget:
    share, least_rate = settings.body_memory_share, settings.body_least_rate
    bodies = BodyBudget(settings.body_memory_bytes, share, caller_of, least_rate)
    metrics.registry.register(BodyMetrics("splitway_gateway", bodies))
    return bodies


def _prober(
    settings: GatewaySettings,
    stages: Sequence[StageClient],
    transport: Transport,
    follower: Follower,
    metrics: GatewayMetrics,
) -> Prober:
    probed = [ProbedStage(c.name, c.role, c.urls, s.replicas) for c, s in zip(settings.chain, stages, strict=True)]
    interval_s = settings.probe_interval_ms / 1000
    return Prober(probed, transport, interval_s, follower.look, on_look_up_failed=metrics.look_up_failed)


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
    telemetry = GatewayTelemetry(settings, exposed=exposed)
    metrics = telemetry.metrics
    limits = replace(settings.limits, takes_packed=not exposed)
    windows, bodies = make_windows(settings), _body_budget(settings, metrics)
    stages = [
        _stage_client(stage, settings, transport, telemetry, is_first=position == 0)
        for position, stage in enumerate(settings.chain)
    ]
    limit = AdaptiveLimit(LimitPolicy(highest=settings.max_in_flight), time.monotonic)
    admission = Admission(AdmissionPolicy(), limit, time.monotonic, metrics.waited)
    router = Router([(stage.name, stage.replicas) for stage in stages])
    rollout = _rollout(settings, router)
    follower = Follower(rollout)
    comparer = Comparer(rollout, settings.background_runs, settings.compare_share, random.random)
    pipeline = Pipeline(stages, router, admission, rollout, comparer, _trial_policy(settings), _cache(settings))
    metrics.registry.register(LiveMetrics(pipeline, metrics.expect_head))
    lifecycle = Lifecycle(partial(_why_not_ready, pipeline))
    prober = _prober(settings, stages, transport, follower, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await prober.start()
            yield
        finally:
            await prober.close()
            await follower.close()
            await comparer.close()
            transport.close()
            if pipeline.cache is not None:
                await pipeline.cache.close()
            await windows.close()
            telemetry.settle()
            await asyncio.to_thread(telemetry.tracer.close)

    app = FrontedApp(
        title="Splitway",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None if exposed else OPENAPI,
    )
    app.state.lifecycle, app.state.registry = lifecycle, metrics.registry
    app.state.pipeline = pipeline
    app.state.render, app.state.refuse = render, refuse
    app.documentation = gateway_description(lambda path: means is not None and needed_scope(path) is not None)
    install_error_handlers(app, render)
    edge = Edge(pipeline, settings, telemetry, lifecycle, bodies)
    plane = PipelinePlane(pipeline, telemetry.watch, lifecycle, PictureCaps.of(settings))
    app.include_router(edge_router(edge))
    app.include_router(v2_router(plane, limits, bodies))
    routes = {("POST", CLASSIFY): edge.classify, ("POST", INFER): infer_endpoint(plane, limits, bodies)}
    short_way, policy = ShortWay(app.layers, routes, render), allowance_policy(settings, asks_who=means is not None)
    allowance = Allowance(short_way, policy, windows, render, telemetry.refused)
    app.front = _front(allowance, means, settings, telemetry, lifecycle)
    add_metrics_route(app, metrics.registry, settings, lambda request: principal_of(request.scope) is not None)
    app.include_router(page_router(Page(settings, described=not exposed)))
    return app


def _front(
    app: ASGIApp, means: Means | None, settings: GatewaySettings, telemetry: GatewayTelemetry, lifecycle: Lifecycle
) -> ASGIApp:
    """What a request meets before anything that knows its route."""
    if means is not None:
        app = Access(app, means, settings.metrics_networks, render, telemetry.refused)
    app = RequestId(app)
    if settings.metrics_port:
        registry = telemetry.metrics.registry
        app = MetricsPort(app, settings.metrics_port, registry, lambda: lifecycle.not_ready_because)
    return app
