"""The gateway's own interface: `/v1/classify`, `/v1/pipeline` and health."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from gateway.intake import DEFAULT_TOP_K, FIELD, MAX_TOP_K, MIN_TOP_K, RAW_TYPES, read_picture, read_top_k
from gateway.observe import GatewayMetrics
from gateway.pipeline import ChainAnswer, Pipeline
from gateway.problems import MEDIA_TYPE, STATUSES, request_id
from gateway.settings import GatewaySettings
from splitway.wire.body import plain_headers
from splitway.wire.deadline import read_deadline
from splitway.wire.hangup import while_connected
from splitway.wire.lifecycle import Lifecycle
from splitway.wire.v2_rest import CallContext, json_response

CLASSIFY = "/v1/classify"


class PredictionModel(BaseModel):
    """One class."""

    label: str
    index: int
    confidence: float


class ClassifyReply(BaseModel):
    """What `/v1/classify` answers."""

    id: str
    label: str
    confidence: float
    predictions: list[PredictionModel]
    model: dict[str, str]
    timings_ms: dict[str, Any]


_PICTURE_SCHEMA = {"schema": {"type": "string", "format": "binary"}}
_CLASSIFY_DOCS: dict[str, Any] = {
    "summary": "Name what a picture shows",
    "parameters": [
        {
            "name": "top_k",
            "in": "query",
            "description": "How many classes to give.",
            "schema": {"type": "integer", "minimum": MIN_TOP_K, "maximum": MAX_TOP_K, "default": DEFAULT_TOP_K},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(RAW_TYPES, _PICTURE_SCHEMA),
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "contentEncoding": "base64"}},
                }
            },
        },
    },
}
_ERROR_DOCS: dict[int | str, dict[str, Any]] = {
    status: {"description": "Problem details (RFC 9457)", "content": {MEDIA_TYPE: {}}}
    for status in sorted(set(STATUSES.values()) - {405, 500})
}


class Edge:
    """What the edge's routes need."""

    def __init__(
        self, pipeline: Pipeline, settings: GatewaySettings, metrics: GatewayMetrics, lifecycle: Lifecycle
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._metrics = metrics
        self._lifecycle = lifecycle

    async def classify(self, request: Request) -> Response:
        """Answer one picture, and count it however it ends."""
        with self._metrics.request(CLASSIFY):
            return await self._classify(request, time.perf_counter())

    async def _classify(self, request: Request, started_s: float) -> Response:
        limits, settings = self._settings.limits, self._settings
        headers = plain_headers(request)
        deadline = read_deadline(headers, default_s=limits.default_timeout_s, max_s=limits.max_timeout_s)
        top_k = read_top_k(request)
        picture = await read_picture(
            request,
            headers,
            deadline,
            max_body_bytes=settings.max_body_bytes,
            max_picture_bytes=settings.max_picture_bytes,
        )
        id_ = request_id(request)
        context = CallContext(deadline, headers)
        async with while_connected(request):
            predictions, answer = await self._pipeline.classify(picture, top_k, id_, context)
        self._metrics.hops(answer.timings)
        timings_ms = _timings_ms(answer, time.perf_counter() - started_s)
        content = {
            "id": id_,
            "label": predictions[0].label,
            "confidence": predictions[0].confidence,
            "predictions": predictions,
            "model": {**answer.versions, "feature_space": answer.feature_space},
            "timings_ms": timings_ms,
        }
        headers = {"server-timing": _server_timing(timings_ms), **answer.headers}
        return json_response(content, headers=headers)

    async def pipeline(self) -> Response:
        """Describe the door, the stages and their replicas as they are now."""
        reason = self._lifecycle.not_ready_because
        content = {
            "ready": reason is None,
            "reason": reason,
            "admission": self._pipeline.describe_door(),
            "stages": self._pipeline.describe(),
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

    async def metrics(self) -> Response:
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)


def edge_router(edge: Edge) -> APIRouter:
    """The edge's routes."""
    router = APIRouter()
    router.add_api_route(
        CLASSIFY,
        edge.classify,
        methods=["POST"],
        tags=["classify"],
        response_class=Response,
        responses={200: {"model": ClassifyReply}, **_ERROR_DOCS},
        openapi_extra=_CLASSIFY_DOCS,
    )
    get = {"/v1/pipeline": edge.pipeline, "/livez": edge.livez, "/readyz": edge.readyz, "/metrics": edge.metrics}
    for path, endpoint in get.items():
        router.add_api_route(path, endpoint, methods=["GET"], response_class=Response, tags=["health"])
    return router


def _timings_ms(answer: ChainAnswer, total_s: float) -> dict[str, Any]:
    timings: dict[str, Any] = {stage: hop.in_ms() for stage, hop in answer.timings.items()}
    timings["total"] = round(total_s * 1000, 3)
    return timings


def _server_timing(timings_ms: dict[str, Any]) -> str:
    """The same as `timings_ms`, as `stage.part;dur=...`."""
    entries = []
    for name, value in timings_ms.items():
        parts = {f"{name}.{part}": ms for part, ms in value.items()} if isinstance(value, dict) else {name: value}
        entries += [f"{part};dur={ms}" for part, ms in parts.items()]
    return ", ".join(entries)
