"""What the gateway says of itself: `/v1/pipeline`, `/v1/requests` and health."""

from __future__ import annotations

import time
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from splitway.gateway.edge import docs
from splitway.gateway.edge.query import check_names, read_flag
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replica import Replica
from splitway.gateway.fleet.router import Pins, Want
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.hop.stage_client import StageClient
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.gateway.observe.traffic import STEP_S, VALUES, Calls, Flow, last_step_ended, utc
from splitway.gateway.resilience.admission import Admission
from splitway.http.lifecycle import Lifecycle
from splitway.schemas.pipeline import (
    DoorStatus,
    GatewayStatus,
    HeadStatus,
    HistoryScale,
    HistoryStatus,
    LaunchedStatus,
    OfferedModel,
    PipelineStatus,
    RecentStatus,
    ReleasesStatus,
    ReplicaStatus,
    StageStatus,
)
from splitway.schemas.protocol import ModelTensor
from splitway.skins.v2_rest import json_response
from splitway.version import __version__


@dataclass(eq=False, repr=False)
class Status:
    """Answers `/v1/pipeline`, `/v1/requests`, `/livez` and `/readyz`."""

    pipeline: GatewayPipeline
    telemetry: GatewayTelemetry
    lifecycle: Lifecycle
    launched: LaunchedStatus

    async def whole(self, request: Request) -> Response:
        """Describe the door, the stages and their replicas as they are now, and if asked the last minutes."""
        check_names(request, (docs.HISTORY,))
        now_s = time.monotonic() if read_flag(request, docs.HISTORY) else None
        self.telemetry.settle()
        pipeline, requests, reason = self.pipeline, self.telemetry.requests, self.lifecycle.not_ready_because
        gateway = GatewayStatus(
            version=__version__,
            uptime_s=round(requests.age_s, 3),
            requests=requests.totals,
            recent=RecentStatus(**requests.recent()),
            history=_history(requests, now_s),
        )
        status = PipelineStatus(
            ready=reason is None,
            reason=reason,
            history=None if now_s is None else HistoryScale(step_s=STEP_S, values=VALUES, until=last_step_ended(now_s)),
            gateway=gateway,
            admission=_door_status(pipeline.admission),
            heads=heads_status(pipeline),
            releases=_releases_status(pipeline),
            launched=self.launched,
            stages=tuple(_stage_status(stage, self.telemetry.calls[stage.name], now_s) for stage in pipeline.stages),
        )
        return json_response(status.model_dump())

    async def latest(self) -> Response:
        """What became of the last requests."""
        self.telemetry.settle()
        pins = self.pipeline.rollout.current.pins
        heads = frozenset(self.pipeline.router.heads(pins))
        extractor = self.pipeline.router.served_extractor(Want(heads, pins))
        kind = "image" if extractor is None or extractor.takes_pictures else "tensors"
        return json_response(self.telemetry.latest.describe(kind))

    async def livez(self) -> Response:
        return json_response({"live": True})

    async def readyz(self) -> Response:
        """Readiness of the pipeline, and which stage is missing if not."""
        reason = self.lifecycle.not_ready_because
        missing = self.pipeline.why_not_ready()
        stages = {stage.name: missing.get(stage.name, "ready") for stage in self.pipeline.stages}
        content = {"ready": reason is None, "reason": reason, "stages": stages}
        return json_response(content, 200 if reason is None else 503)


def status_router(status: Status) -> APIRouter:
    """The routes of the status and of health."""
    router = APIRouter(tags=[docs.HEALTH_TAG])
    router.get("/v1/pipeline", name="pipeline", response_class=Response, **docs.PIPELINE)(status.whole)
    router.get("/v1/requests", name="requests", response_class=Response, **docs.REQUESTS)(status.latest)
    router.get("/livez", response_class=Response, **docs.LIVEZ)(status.livez)
    router.get("/readyz", response_class=Response, **docs.READYZ)(status.readyz)
    return router


def _door_status(door: Admission) -> DoorStatus:
    """The requests that are under way, wait, or were refused."""
    turned_away = {reason.value: count for reason, count in door.turned_away.items()}
    return DoorStatus(limit=door.limit.limit, in_flight=door.in_flight, queued=door.queued, turned_away=turned_away)


def heads_status(pipeline: GatewayPipeline) -> tuple[HeadStatus, ...]:
    """The heads, and whether each can be reached now."""
    router, pins = pipeline.router, pipeline.rollout.current.pins
    return tuple(_head_status(pipeline, name, router.served_head(name, pins), pins) for name in router.heads(pins))


def _head_status(pipeline: GatewayPipeline, name: str, model: ServedModel | None, pins: Pins | None) -> HeadStatus:
    ready = bool(pipeline.router.covered(Want(frozenset({name}), pins)))
    reason = None if ready else pipeline.executor.why_not(pins, name).detail
    if model is None:
        return HeadStatus(name=name, ready=ready, reason=reason)
    return HeadStatus(
        name=name,
        ready=ready,
        reason=reason,
        version=model.version,
        takes=model.takes,
        outputs=tuple(ModelTensor.of(output) for output in model.outputs),
        threshold=model.threshold,
        unsure_below=model.unsure_below,
    )


def _releases_status(pipeline: GatewayPipeline) -> ReleasesStatus:
    """The releases: which callers get which, and how they do."""
    background = {"running": pipeline.comparer.running, **pipeline.comparer.ends}
    return ReleasesStatus.of({**pipeline.rollout.describe(), "background": background})


def _history(flow: Flow | Calls | None, now_s: float | None) -> HistoryStatus | None:
    """Of what ended before this time; None for nothing."""
    return None if flow is None or now_s is None else HistoryStatus(**flow.history(now_s))


def _stage_status(stage: StageClient, calls: Calls, now_s: float | None) -> StageStatus:
    """A stage, its replicas and the calls to them that ended lately."""
    return StageStatus(
        name=stage.name,
        role=stage.replicas.role,
        ready=bool(stage.replicas.ready),
        retry_budget=round(stage.budget.tokens, 2),
        replicas=tuple(
            replica_status(each, stage.name, _history(calls.replicas.get(each.url), now_s))
            for each in stage.replicas.replicas
        ),
        recent=RecentStatus(**calls.recent()),
        history=_history(calls, now_s),
    )


def replica_status(replica: Replica, stage: str, history: HistoryStatus | None = None) -> ReplicaStatus:
    """A replica with the version of the stage's own model, or of the only one that it serves; `models` has them all."""
    models = replica.models.values()
    first = max(models, key=lambda model: (model.name == stage, model.preference, model.name), default=None)
    is_its_own = first is not None and (first.name == stage or all(model.name == first.name for model in models))
    return ReplicaStatus(
        url=replica.url,
        number=replica.number,
        state=replica.state,
        reason=replica.reason or None,
        started_at=None if replica.started_at is None else utc(replica.started_at.timestamp()),
        restarts=replica.restarts,
        version=first.version if first is not None and is_its_own else None,
        feature_space=None if first is None else first.gives or first.takes,
        models=tuple(OfferedModel.of(model) for model in models),
        breaker=replica.breaker.state,
        breaker_retry_in_s=round(replica.breaker.retry_in_s, 3),
        in_flight=replica.in_flight,
        attempts=replica.outcomes,
        latency_ms=None if replica.latency_s is None else round(replica.latency_s * 1000, 3),
        history=history,
    )
