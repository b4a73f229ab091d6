"""Turns the settings into the objects of the gateway. Nothing but this and the app knows the settings."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from fastapi import APIRouter

from splitway.errors import SetupError
from splitway.gateway.callers.access import Access, Means
from splitway.gateway.callers.caller import caller_of
from splitway.gateway.callers.keys_place import check_keys_place
from splitway.gateway.callers.limits import DEFAULT_CONCURRENCY, Allowance, AllowancePolicy
from splitway.gateway.callers.sliding_window import MemoryWindows, Windows
from splitway.gateway.callers.tokens import ALGORITHMS, TokenPolicy, TokenVerifier
from splitway.gateway.edge.cost import PictureCaps
from splitway.gateway.edge.problems import render
from splitway.gateway.edge.request_id import RequestId
from splitway.gateway.fleet.prober import ProbedStage, Prober
from splitway.gateway.fleet.replica import BalancePolicy
from splitway.gateway.fleet.replicas import ReplicaSet
from splitway.gateway.fleet.router import Router
from splitway.gateway.flow.feature_cache import FeatureCache, MemoryStore
from splitway.gateway.flow.pipeline import TrialPolicy
from splitway.gateway.hop.attempt import AttemptMaker
from splitway.gateway.hop.events import BreakerMoved
from splitway.gateway.hop.stage_client import StageClient
from splitway.gateway.observe.metrics import GatewayMetrics
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.gateway.page.assets import page_router
from splitway.gateway.resilience.admission import Admission, AdmissionPolicy
from splitway.gateway.resilience.breaker import BreakerState, BreakerTransition
from splitway.gateway.resilience.budget import BudgetPolicy, RetryBudget
from splitway.gateway.resilience.hedge import HedgeDelay
from splitway.gateway.resilience.limiter import AdaptiveLimit, LimitPolicy
from splitway.gateway.rollout.file import ReleaseFile
from splitway.gateway.rollout.rollout import Rollout
from splitway.gateway.settings import GatewaySettings, StageConfig
from splitway.gateway.transport.transport import Transport
from splitway.http.body_budget import BodyBudget
from splitway.http.fast_routes import Endpoint, Layer, short_way
from splitway.http.hosts import host_check
from splitway.http.lifecycle import Lifecycle
from splitway.names import GATEWAY
from splitway.security.callers.keys import KeyRing
from splitway.security.identities.tls import Identity
from splitway.security.service_token import read_tokens
from splitway.telemetry.families import Readings
from splitway.telemetry.metrics import metrics_port


def _stage_client(
    stage: StageConfig, settings: GatewaySettings, transport: Transport, telemetry: GatewayTelemetry, *, is_first: bool
) -> StageClient:
    """One stage, and what keeps its trouble from the caller."""

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


def stages_of(settings: GatewaySettings, transport: Transport, telemetry: GatewayTelemetry) -> list[StageClient]:
    """The stages, in the order in which a request meets them."""
    return [
        _stage_client(stage, settings, transport, telemetry, is_first=position == 0)
        for position, stage in enumerate(settings.chain)
    ]


def admission_of(settings: GatewaySettings, metrics: GatewayMetrics) -> Admission:
    """The door."""
    limit = AdaptiveLimit(LimitPolicy(highest=settings.max_in_flight), time.monotonic)
    return Admission(AdmissionPolicy(), limit, time.monotonic, metrics.waited)


def telemetry_of(settings: GatewaySettings, *, exposed: bool) -> GatewayTelemetry:
    """What the gateway says of its work."""
    stages = tuple(stage.name for stage in settings.chain)
    return GatewayTelemetry(
        stages, settings.request_log_per_second, settings.attempt_timeout_ms / 1000, exposed=exposed
    )


def picture_caps(settings: GatewaySettings) -> PictureCaps:
    """What is decoded of a picture."""
    return PictureCaps(settings.max_picture_pixels, settings.max_picture_seconds)


def page_of(settings: GatewaySettings, *, described: bool) -> APIRouter:
    """The page, with its samples."""
    samples = Path(settings.samples) if settings.samples else None
    return page_router(samples, settings.max_picture_bytes, described=described)


def rollout_of(settings: GatewaySettings, router: Router) -> Rollout:
    """The releases in service."""
    file = ReleaseFile(Path(settings.releases)) if settings.releases else None
    return Rollout(file, settings.rollback, time.monotonic, random.random, router.coverage)


def trial_policy(settings: GatewaySettings) -> TrialPolicy:
    """How a canary is tried."""
    second_chances = BudgetPolicy(cap=max(10.0, float(settings.rollback_min_requests)))
    return TrialPolicy(settings.attempt_timeout_ms / 1000, RetryBudget(second_chances, time.monotonic))


def cache_of(settings: GatewaySettings) -> FeatureCache | None:
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
    settings: GatewaySettings,
    stages: Sequence[StageClient],
    transport: Transport,
    rollout: Rollout,
    metrics: GatewayMetrics,
) -> Prober:
    """What asks the replicas."""
    probed = [ProbedStage(c.name, c.role, c.urls, s.replicas) for c, s in zip(settings.chain, stages, strict=True)]
    interval_s = settings.probe_interval_ms / 1000
    return Prober(probed, transport, interval_s, rollout.poll, on_look_up_failed=metrics.look_up_failed)


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
    networks, refused = settings.metrics_networks, telemetry.refused
    policy = allowance_policy(settings, asks_who=means is not None)
    access = partial(Access, metrics_networks=networks, render=render, on_refusal=refused)
    return [
        host_check(settings, render, exposed=exposed),
        metrics_port(settings, telemetry.metrics.registry, lambda: lifecycle.not_ready_because),
        RequestId,
        None if means is None else partial(access, means=means),
        partial(Allowance, policy=policy, windows=windows, render=render, on_refusal=refused),
        short_way(routes, render),
    ]


def means_of(settings: GatewaySettings, *, exposed: bool) -> Means | None:
    """How callers authenticate; None if they need not.

    Args:
        settings: the gateway's.
        exposed: whether others than this machine reach it.

    Raises:
        SetupError: other machines reach the gateway, it would need no key, and no setting allows that; or the settings
            contradict each other; or the keys cannot be read.
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
    return Means(keys, None if policy is None else TokenVerifier(policy, time.monotonic))


def allowance_policy(settings: GatewaySettings, *, asks_who: bool) -> AllowancePolicy:
    """What the settings allow everybody.

    Args:
        settings: the gateway's.
        asks_who: whether callers have to show who they are.
    """
    concurrency = settings.concurrency_per_key
    if concurrency is None:
        concurrency = DEFAULT_CONCURRENCY if asks_who else 0
    return AllowancePolicy(settings.rate_per_second, settings.cost_per_minute, concurrency)


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
    check_keys_place(settings.jwt_keys)
    return TokenPolicy(settings.jwt_issuer, settings.jwt_audience, settings.jwt_keys, algorithms)


def transport_for(settings: GatewaySettings) -> Transport:
    """What these settings ask for. Raises SetupError for a token or an identity that is none."""
    tokens = read_tokens(settings.service_token)
    identity = None if settings.identity is None else Identity(settings.identity, GATEWAY)
    return Transport(settings.max_reply_bytes, token=tokens[0] if tokens else None, identity=identity)
