"""Turns the settings into the objects of the gateway. Nothing but this and the app knows the settings."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from splitway.errors import SetupError, SplitwayError
from splitway.gateway.callers.access import Access, Means
from splitway.gateway.callers.caller import caller_of
from splitway.gateway.callers.limits import DEFAULT_CONCURRENCY, Allowance, Share
from splitway.gateway.callers.sliding_window import Limit, MemoryWindows, Windows
from splitway.gateway.callers.tokens import ALGORITHMS, TokenPolicy
from splitway.gateway.edge.problems import render
from splitway.gateway.edge.request_id import RequestId
from splitway.gateway.fleet.prober import Prober
from splitway.gateway.fleet.replicas import ReplicaSet, StageConfig
from splitway.gateway.fleet.router import Router
from splitway.gateway.flow.compare import Comparer
from splitway.gateway.flow.executor import Executor
from splitway.gateway.flow.feature_cache import FeatureCache, MemoryStore
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.hop.attempt import AttemptMaker
from splitway.gateway.hop.events import BreakerMoved
from splitway.gateway.hop.stage_client import StageClient
from splitway.gateway.observe.metrics import GatewayMetrics
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.gateway.page.assets import page_router
from splitway.gateway.resilience.admission import Admission
from splitway.gateway.resilience.breaker import BreakerState
from splitway.gateway.resilience.budget import LEAST_CAP, RetryBudget
from splitway.gateway.resilience.hedge import HedgeDelay
from splitway.gateway.resilience.limiter import AdaptiveLimit
from splitway.gateway.rollout.file import ReleaseFile
from splitway.gateway.rollout.rollout import Rollout
from splitway.gateway.settings import GatewaySettings, is_address
from splitway.gateway.transport.transport import Transport
from splitway.http.body_budget import BodyBudget
from splitway.http.fast_routes import Endpoint, Layer, short_way
from splitway.http.hosts import host_check
from splitway.http.lifecycle import Lifecycle
from splitway.names import GATEWAY
from splitway.security.callers.keys import KeyRing
from splitway.security.identities.tls import Identity
from splitway.security.networks import is_exposed
from splitway.security.service_token import read_tokens
from splitway.telemetry.families import Readings
from splitway.telemetry.metrics import metrics_port


def _stage_client(
    stage: StageConfig, settings: GatewaySettings, transport: Transport, telemetry: GatewayTelemetry
) -> StageClient:
    """One stage, and what keeps its trouble from the caller."""
    replicas = ReplicaSet(
        stage,
        time.monotonic,
        random.random,
        unreachable_after=settings.probe_failures,
        on_transition=lambda *moved: telemetry.on_event(BreakerMoved(*moved)),
        on_new=telemetry.expect,
        on_gone=telemetry.forget,
        forced=None if settings.breakers == "automatic" else BreakerState(settings.breakers),
    )
    attempt = AttemptMaker(replicas, transport, settings.attempt_timeout_ms / 1000, telemetry.on_event)
    budget = RetryBudget(time.monotonic, per_call=settings.retry_share)
    quantile = settings.hedge.get(stage.name)
    hedge = None if quantile is None else HedgeDelay(quantile)
    return StageClient(attempt, budget, hedge)


def pipeline_of(settings: GatewaySettings, transport: Transport, telemetry: GatewayTelemetry) -> GatewayPipeline:
    """The stages, in the order in which a request meets them, with the door, the releases and the cache."""
    stages = [_stage_client(stage, settings, transport, telemetry) for stage in settings.chain]
    router = Router([stage.replicas for stage in stages])
    limit = AdaptiveLimit(time.monotonic, settings.max_in_flight)
    admission = Admission(limit, time.monotonic, telemetry.metrics.waited)
    file = ReleaseFile(Path(settings.releases)) if settings.releases else None
    rollout = Rollout(file, settings.rollback, time.monotonic, random.random, router.coverage)
    executor = Executor(stages, router, _cache(settings))
    comparer = Comparer(executor.run, rollout, settings.background_runs, settings.compare_share, random.random)
    second_chances = RetryBudget(time.monotonic, cap=max(LEAST_CAP, float(settings.rollback_min_requests)))
    attempt_timeout_s = settings.attempt_timeout_ms / 1000
    return GatewayPipeline(stages, router, admission, rollout, executor, comparer, attempt_timeout_s, second_chances)


def telemetry_of(settings: GatewaySettings, *, exposed: bool) -> GatewayTelemetry:
    """What the gateway says of its work."""
    stages = tuple(stage.name for stage in settings.chain)
    return GatewayTelemetry(
        stages, settings.request_log_per_second, settings.attempt_timeout_ms / 1000, exposed=exposed
    )


def page_of(settings: GatewaySettings, *, described: bool) -> APIRouter:
    """The page, with its samples."""
    samples = Path(settings.samples) if settings.samples else None
    return page_router(samples, settings.max_picture_bytes, described=described)


def _cache(settings: GatewaySettings) -> FeatureCache | None:
    """Where features are kept; None for nowhere."""
    if settings.cache == "off":
        return None
    if settings.cache == "memory":
        return FeatureCache(MemoryStore(settings.cache_bytes))

    from splitway.gateway.flow.redis_store import RedisStore

    return FeatureCache(RedisStore(settings.cache, settings.cache_keep_s))


def body_budget(settings: GatewaySettings, metrics: GatewayMetrics) -> BodyBudget:
    """Memory for request bodies, which the metrics tell of."""
    share, least_rate = settings.body_memory_share, settings.body_least_rate
    bodies = BodyBudget(settings.body_memory_bytes, share, caller_of, least_rate)
    metrics.registry.register(Readings(partial(bodies.metrics, "splitway_gateway")))
    return bodies


def prober_of(
    settings: GatewaySettings, pipeline: GatewayPipeline, transport: Transport, metrics: GatewayMetrics
) -> Prober:
    """What asks the replicas, and in each round follows the releases."""
    probed, interval_s = [stage.replicas for stage in pipeline.stages], settings.probe_interval_ms / 1000
    return Prober(probed, transport, interval_s, pipeline.rollout.poll, on_look_up_failed=metrics.look_up_failed)


def layers_of(
    settings: GatewaySettings,
    means: Means | None,
    windows: Windows,
    routes: Mapping[tuple[str, str], Endpoint],
    telemetry: GatewayTelemetry,
    lifecycle: Lifecycle,
    *,
    exposed: bool,
) -> list[Layer | None]:
    """What a request meets before the framework, in this order."""
    everybodys = everybodys_share(settings, asks_who=means is not None)

    def refuse(request: Request, error: SplitwayError) -> Response:
        telemetry.refused(request, error)
        return render(request, error)

    access = partial(Access, metrics_networks=settings.metrics_networks, refuse=refuse)
    return [
        host_check(settings, render, exposed=exposed),
        metrics_port(settings, telemetry.metrics.registry, lambda: lifecycle.not_ready_because),
        RequestId,
        None if means is None else partial(access, means=means),
        partial(Allowance, everybodys=everybodys, windows=windows, refuse=refuse),
        short_way(routes, render),
    ]


def means_of(settings: GatewaySettings, *, exposed: bool) -> Means | None:
    """How callers authenticate; None if they need not.

    Raises:
        SetupError: other machines reach the gateway, it would need no key, and no setting allows that; or the settings
            contradict each other; or the keys cannot be read, or the library that checks tokens is not installed.
    """
    policy = token_policy(settings)
    keys = None if settings.keys_file is None else KeyRing(settings.keys_file, time.monotonic)
    is_open = settings.auth == "open-to-everyone"
    if keys is None and policy is None:
        if exposed and not is_open:
            raise SetupError(
                "the gateway would be reachable from other machines without authentication: set "
                "SPLITWAY_KEYS_FILE (splitway keys create makes it; with compose add -f deploy/compose/keys.yaml) or "
                "SPLITWAY_JWT_ISSUER; if everyone who reaches it may use it, say so: SPLITWAY_AUTH=open-to-everyone"
            )
        return None
    if is_open:
        raise SetupError("SPLITWAY_AUTH=open-to-everyone, but keys or tokens are set as well: unset one of the two")
    if policy is None:
        return Means(keys, None)
    try:
        from splitway.gateway.callers.jwks import TokenVerifier
    except ModuleNotFoundError as error:
        raise SetupError(f"tokens cannot be checked without {error.name}: install splitway[gateway]") from error
    return Means(keys, TokenVerifier(policy, time.monotonic))


def everybodys_share(settings: GatewaySettings, *, asks_who: bool) -> Share:
    """What the settings allow every caller; `asks_who` tells whether callers have to show who they are."""
    concurrency = settings.concurrency_per_key
    if concurrency is None:
        concurrency = DEFAULT_CONCURRENCY if asks_who else 0
    rate, cost = Limit("rate", settings.rate_per_second, 1), Limit("cost", settings.cost_per_minute, 60)
    return Share(rate, cost, concurrency)


def make_windows(settings: GatewaySettings) -> Windows:
    """Where the settings say that it is counted."""
    if settings.rate_store == "memory":
        return MemoryWindows(time.monotonic)

    from splitway.gateway.callers.redis_windows import RedisWindows

    return RedisWindows(settings.rate_store, time.monotonic)


def token_policy(settings: GatewaySettings) -> TokenPolicy | None:
    """Return which tokens the settings take; None for none. Raises SetupError where they contradict each other."""
    given = {
        "SPLITWAY_JWT_ISSUER": settings.jwt_issuer,
        "SPLITWAY_JWT_AUDIENCE": settings.jwt_audience,
        "SPLITWAY_JWT_KEYS": settings.jwt_keys,
    }
    missing = [name for name, value in given.items() if not value]
    if len(missing) == len(given):
        return None
    if missing:
        raise SetupError(f"{', '.join(sorted(given.keys() - missing))} needs {' and '.join(missing)} beside it")
    algorithms = tuple(name.strip() for name in settings.jwt_algorithms.split(",") if name.strip())
    if not algorithms or not set(algorithms) <= set(ALGORITHMS):
        raise SetupError(f"SPLITWAY_JWT_ALGORITHMS must be some of {', '.join(ALGORITHMS)}, separated by commas")
    _check_keys_place(settings.jwt_keys)
    return TokenPolicy(settings.jwt_issuer, settings.jwt_audience, settings.jwt_keys, algorithms)


def _check_keys_place(place: str) -> None:
    """Raise SetupError unless keys can be had there: in a file that is there, or at an address that is safe to ask."""
    if "://" not in place:
        if not Path(place).is_file():
            raise SetupError(f"SPLITWAY_JWT_KEYS: no such file: {place}")
    elif not is_address(place) or (urlsplit(place).scheme == "http" and is_exposed(urlsplit(place).hostname or "")):
        raise SetupError("SPLITWAY_JWT_KEYS must be a file, or an https address; http is accepted on this machine only")


def transport_for(settings: GatewaySettings) -> Transport:
    """What these settings ask for. Raises SetupError for a token or an identity that is none."""
    tokens = read_tokens(settings.service_token)
    identity = None if settings.identity is None else Identity(settings.identity, GATEWAY)
    return Transport(settings.max_reply_bytes, token=tokens[0] if tokens else None, identity=identity)
