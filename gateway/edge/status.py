"""What the gateway says of itself: `/v1/pipeline` and health."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from splitway.gateway.edge import docs
from splitway.gateway.fleet.replica import Replica
from splitway.gateway.fleet.router import Want
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.hop.stage_client import StageClient
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.gateway.observe.traffic import Flow
from splitway.gateway.resilience.admission import Admission
from splitway.http.lifecycle import Lifecycle
from splitway.schemas.pipeline import (
    DoorStatus,
    GatewayStatus,
    HeadStatus,
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
    """Answers `/v1/pipeline`, `/livez` and `/readyz`."""

    pipeline: GatewayPipeline
    telemetry: GatewayTelemetry
    lifecycle: Lifecycle

    async def whole(self) -> Response:
        """Describe the door, the stages and their replicas as they are now."""
        self.telemetry.settle()
        pipeline, requests, reason = self.pipeline, self.telemetry.requests, self.lifecycle.not_ready_because
        gateway = GatewayStatus(
            version=__version__,
            uptime_s=round(requests.age_s, 3),
            requests=requests.totals,
            recent=RecentStatus(**requests.recent()),
        )
        status = PipelineStatus(
            ready=reason is None,
            reason=reason,
            gateway=gateway,
            admission=_door_status(pipeline.admission),
            heads=heads_status(pipeline),
            releases=_releases_status(pipeline),
            stages=tuple(_stage_status(stage, self.telemetry.calls[stage.name]) for stage in pipeline.stages),
        )
        return json_response(status.model_dump())

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
    served = {name: router.served_head(name, pins) for name in router.heads(pins)}
    return tuple(
        HeadStatus(
            name=name,
            ready=bool(router.covered(Want(frozenset({name}), pins))),
            version=None if model is None else model.version,
            outputs=() if model is None else tuple(ModelTensor.of(output) for output in model.outputs),
        )
        for name, model in served.items()
    )


def _releases_status(pipeline: GatewayPipeline) -> ReleasesStatus:
    """The releases: which callers get which, and how they do."""
    background = {"running": pipeline.comparer.running, **pipeline.comparer.ends}
    return ReleasesStatus.of({**pipeline.rollout.describe(), "background": background})


def _stage_status(stage: StageClient, calls: Flow) -> StageStatus:
    """A stage, its replicas and the calls to them that ended lately."""
    return StageStatus(
        name=stage.name,
        ready=bool(stage.replicas.ready),
        retry_budget=round(stage.budget.tokens, 2),
        replicas=tuple(replica_status(replica, stage.name) for replica in stage.replicas.replicas),
        recent=RecentStatus(**calls.recent()),
    )


def replica_status(replica: Replica, stage: str) -> ReplicaStatus:
    """A replica with the version of the stage's own model, or of another where it serves none of that name."""
    models = replica.models.values()
    first = max(models, key=lambda model: (model.name == stage, model.preference, model.name), default=None)
    return ReplicaStatus(
        url=replica.url,
        number=replica.number,
        state=replica.state,
        reason=replica.reason or None,
        version=None if first is None else first.version,
        feature_space=None if first is None else first.gives or first.takes,
        models=tuple(OfferedModel.of(model) for model in models),
        breaker=replica.breaker.state,
        breaker_retry_in_s=round(replica.breaker.retry_in_s, 3),
        in_flight=replica.in_flight,
        attempts=replica.outcomes,
        latency_ms=None if replica.latency_s is None else round(replica.latency_s * 1000, 3),
    )
