"""The gateway's own interface: `/v1/classify`, `/v1/pipeline` and health."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from splitway import __version__
from splitway.gateway.edge import docs as edge_docs
from splitway.gateway.edge.cost import PictureCaps, cost_aside, picture_cost
from splitway.gateway.edge.intake import (
    PictureLimits,
    asks_for_timeline,
    read_heads,
    read_picture,
    read_timeline,
    read_top_k,
)
from splitway.gateway.edge.problems import STATUSES, problem_details, request_id
from splitway.gateway.edge.request_id import came_in_s
from splitway.gateway.flow.compare import Classified
from splitway.gateway.flow.executor import ChainAnswer
from splitway.gateway.flow.pipeline import Pipeline
from splitway.gateway.observe.telemetry import GatewayTelemetry
from splitway.gateway.observe.timeline import timeline
from splitway.gateway.paths import CLASSIFY
from splitway.http.body import plain_headers
from splitway.http.body_budget import BodyBudget, BodyCharge
from splitway.http.hangup import while_connected
from splitway.http.lifecycle import Lifecycle
from splitway.security.principal import known_caller
from splitway.skins.v2_rest import json_response
from splitway.telemetry.watch import Watched
from splitway.wire.context import CallContext, Limits
from splitway.wire.deadline import read_deadline

_TimingsMs = dict[str, dict[str, float]]


class Edge:
    """What the edge's routes need.

    Args:
        pipeline: runs the requests.
        limits: what one request may take.
        picture_limits: what its picture may take until it is read.
        caps: what is decoded of one picture at most.
        telemetry: told of every request.
        lifecycle: whether the process can answer.
        bodies: memory for request bodies.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        limits: Limits,
        picture_limits: PictureLimits,
        caps: PictureCaps,
        telemetry: GatewayTelemetry,
        lifecycle: Lifecycle,
        bodies: BodyBudget,
    ) -> None:
        self._pipeline = pipeline
        self._limits = limits
        self._picture_limits = picture_limits
        self._caps = caps
        self._bodies = bodies
        self._telemetry = telemetry
        self._lifecycle = lifecycle

    async def classify(self, request: Request) -> Response:
        """Answer one picture, and report its end to the observers."""
        headers = plain_headers(request)
        with (
            self._telemetry.watch.request(CLASSIFY, headers, remember=asks_for_timeline(request)) as watched,
            self._bodies.charge(request.scope) as charge,
        ):
            watched.caller = known_caller(request.scope)
            reply = await self._classify(request, headers, watched, charge)
            watched.sent_bytes = len(reply.body)
            return reply

    async def _classify(
        self, request: Request, headers: dict[str, str], watched: Watched[ChainAnswer], charge: BodyCharge
    ) -> Response:
        limits = self._limits
        deadline = read_deadline(headers, default_s=limits.default_timeout_s, max_s=limits.max_timeout_s)
        watched.allowed(deadline.remaining_s)
        top_k, heads, with_timeline = read_top_k(request), read_heads(request), read_timeline(request)
        if with_timeline:
            request.state.timeline = watched.span  # for the problem, if it comes to that
        picture = await read_picture(request, headers, deadline, self._picture_limits, charge, watched.received)
        id_ = request_id(request)
        context = CallContext(deadline, headers, watched.span, request.scope)
        weigh = partial(picture_cost, picture, self._caps.pixels, self._caps.seconds)
        cost = await cost_aside(weigh, len(picture))
        async with while_connected(request):
            seen = await self._pipeline.classify(picture, heads, top_k, id_, context, cost)
        watched.facts = seen.answer
        timings_ms = {name: hop.in_ms() for name, hop in seen.answer.timings.items()}
        content = _one_head(seen, id_, timings_ms) if not heads else _heads(seen, id_, timings_ms)
        if with_timeline:
            content["timeline"] = timeline(watched.span)
        server_timing = _server_timing(timings_ms)
        afterwards = self._pipeline.compare(seen, picture, id_, context)
        total_ms = round((time.perf_counter() - came_in_s(request)) * 1000, 3)  # as late as it can still be said
        content["timings_ms"]["total"] = total_ms
        headers_out = {"server-timing": f"{server_timing}, total;dur={total_ms}", **seen.answer.headers}
        reply = json_response(content, 207 if heads and seen.answer.failures else 200, headers_out)
        if afterwards is not None:
            reply.background = BackgroundTask(afterwards)
        return reply

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


def edge_router(edge: Edge) -> APIRouter:
    """The edge's routes."""
    router = APIRouter()
    router.add_api_route(
        CLASSIFY,
        edge.classify,
        methods=["POST"],
        tags=[edge_docs.CLASSIFY_TAG],
        response_class=Response,
        responses=edge_docs.REPLIES,
        openapi_extra=edge_docs.CLASSIFY,
    )
    get = (
        ("/v1/pipeline", edge.pipeline, edge_docs.PIPELINE),
        ("/livez", edge.livez, edge_docs.LIVEZ),
        ("/readyz", edge.readyz, edge_docs.READYZ),
    )
    for path, endpoint, docs in get:
        router.add_api_route(
            path, endpoint, methods=["GET"], response_class=Response, tags=[edge_docs.HEALTH_TAG], **docs
        )
    return router


def _one_head(seen: Classified, id_: str, timings_ms: _TimingsMs) -> dict[str, Any]:
    """The answer of a request that names no head."""
    ((name, predictions),) = seen.predictions.items()
    versions = {**seen.answer.versions, name: seen.answer.heads[name].response.model_version}
    return {
        "id": id_,
        "label": predictions[0].label,
        "confidence": predictions[0].confidence,
        "predictions": predictions,
        "model": _model(seen, versions),
        "timings_ms": {**timings_ms},
    }


def _heads(seen: Classified, id_: str, timings_ms: _TimingsMs) -> dict[str, Any]:
    """The answer of a request that names its heads: an entry for each."""
    entries: dict[str, dict[str, Any]] = {
        name: {
            "status": 200,
            "label": predictions[0].label,
            "confidence": predictions[0].confidence,
            "predictions": predictions,
            "version": seen.answer.heads[name].response.model_version,
            "timings_ms": timings_ms[name],
        }
        for name, predictions in seen.predictions.items()
    }
    for name, error in seen.answer.failures.items():
        entries[name] = {"status": STATUSES[error.code], "error": problem_details(error, id_)}
    before = {name: parts for name, parts in timings_ms.items() if name not in seen.predictions}
    return {
        "id": id_,
        "heads": entries,
        "model": _model(seen, seen.answer.versions),
        "timings_ms": before,
    }


def _model(seen: Classified, versions: dict[str, str]) -> dict[str, str]:
    release = {} if seen.answer.release is None else {"release": seen.answer.release}
    return {**versions, "feature_space": seen.answer.feature_space, **release}


def _server_timing(timings_ms: _TimingsMs) -> str:
    """The same as `timings_ms`, as `stage.part;dur=...`."""
    parts = [f"{name}.{part};dur={ms}" for name, hop in timings_ms.items() for part, ms in hop.items()]
    return ", ".join(parts)
