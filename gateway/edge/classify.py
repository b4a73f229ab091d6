"""The gateway's own interface for pictures: `/v1/classify`."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

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
from splitway.security.principal import known_caller
from splitway.skins.v2_rest import json_response
from splitway.telemetry.watch import Watched
from splitway.wire.context import CallContext, Limits
from splitway.wire.deadline import read_deadline

_TimingsMs = dict[str, dict[str, float]]


class ClassifyRoute:
    """Answers `/v1/classify`.

    Args:
        pipeline: runs the requests.
        limits: what one request may take.
        picture_limits: what its picture may take until it is read.
        caps: what is decoded of one picture at most.
        telemetry: told of every request.
        bodies: memory for request bodies.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        limits: Limits,
        picture_limits: PictureLimits,
        caps: PictureCaps,
        telemetry: GatewayTelemetry,
        bodies: BodyBudget,
    ) -> None:
        self._pipeline = pipeline
        self._limits = limits
        self._picture_limits = picture_limits
        self._caps = caps
        self._bodies = bodies
        self._telemetry = telemetry

    async def classify(self, request: Request) -> Response:
        """Answer one picture, and tell whoever follows requests how it ended."""
        headers = plain_headers(request)
        with (
            self._telemetry.watch.request(CLASSIFY, headers, remember=asks_for_timeline(request)) as watched,
            self._bodies.charge(request.scope) as charge,
        ):
            watched.caller = known_caller(request.scope)
            reply = await self._answer(request, headers, watched, charge)
            watched.sent_bytes = len(reply.body)
            return reply

    async def _answer(
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
        weigh = partial(picture_cost, picture, self._caps)
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


def classify_router(route: ClassifyRoute) -> APIRouter:
    """The route of `/v1/classify`."""
    router = APIRouter()
    router.add_api_route(
        CLASSIFY,
        route.classify,
        methods=["POST"],
        tags=[edge_docs.CLASSIFY_TAG],
        response_class=Response,
        responses=edge_docs.REPLIES,
        openapi_extra=edge_docs.CLASSIFY,
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
