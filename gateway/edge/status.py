"""What the gateway says of itself: `/v1/pipeline` and health."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from splitway.gateway.edge import docs
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.http.lifecycle import Lifecycle
from splitway.skins.v2_rest import json_response
from splitway.version import __version__


class Status:
    """Answers `/v1/pipeline`, `/livez` and `/readyz`.

    Args:
        pipeline: what is told of.
        telemetry: counts what it does.
        lifecycle: whether the process can answer.
    """

    def __init__(self, pipeline: GatewayPipeline, telemetry: GatewayTelemetry, lifecycle: Lifecycle) -> None:
        self._pipeline = pipeline
        self._telemetry = telemetry
        self._lifecycle = lifecycle

    async def pipeline(self) -> Response:
        """Describe the door, the stages and their replicas as they are now."""
        reason, traffic = self._lifecycle.not_ready_because, self._telemetry.traffic
        self._telemetry.settle()
        content = {
            "ready": reason is None,
            "reason": reason,
            "gateway": {
                "version": __version__,
                "uptime_s": round(traffic.uptime_s, 3),
                "requests": dict(traffic.requests.totals),
                "recent": traffic.requests.recent(),
            },
            "admission": self._pipeline.describe_door(),
            "heads": self._pipeline.describe_heads(),
            "releases": self._pipeline.describe_releases(),
            "stages": [
                {**stage, "recent": traffic.calls[stage["name"]].recent()} for stage in self._pipeline.describe()
            ],
        }
        return json_response(content)

    async def livez(self) -> Response:
        return json_response({"live": True})

    async def readyz(self) -> Response:
        """Say whether the pipeline can answer, and which stage is missing if not."""
        reason = self._lifecycle.not_ready_because
        missing = self._pipeline.why_not_ready()
        stages = {stage.name: missing.get(stage.name, "ready") for stage in self._pipeline.stages}
        content = {"ready": reason is None, "reason": reason, "stages": stages}
        return json_response(content, 200 if reason is None else 503)


def status_router(status: Status) -> APIRouter:
    """The routes of the status and of health."""
    router = APIRouter()
    get = (
        ("/v1/pipeline", status.pipeline, docs.PIPELINE),
        ("/livez", status.livez, docs.LIVEZ),
        ("/readyz", status.readyz, docs.READYZ),
    )
    for path, endpoint, told in get:
        router.add_api_route(path, endpoint, methods=["GET"], response_class=Response, tags=[docs.HEALTH_TAG], **told)
    return router
