"""The gateway's own interface for pictures: `/v1/classify`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from splitway.answers.classes.predictions import in_answer
from splitway.gateway.edge import docs as edge_docs
from splitway.gateway.edge.cost import picture_cost
from splitway.gateway.edge.intake import read_picture
from splitway.gateway.edge.problems import problem_details, request_id
from splitway.gateway.edge.query import read_query
from splitway.gateway.edge.request_id import came_in_s
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.flow.request import Result, request_for_classes
from splitway.gateway.hop.turn import HopAnswer
from splitway.gateway.observe.timeline import timeline
from splitway.gateway.paths import CLASSIFY
from splitway.http.body import plain_headers
from splitway.http.body_budget import BodyBudget, BodyCharge
from splitway.http.hangup import while_connected
from splitway.kinds.image.limits import PictureLimits
from splitway.security.callers.principal import known_caller
from splitway.skins.v2_rest import CHAIN_STATUSES, json_response
from splitway.telemetry.watch import Watch, Watched
from splitway.wire.aside import by_size
from splitway.wire.context import CallContext, Limits
from splitway.wire.deadline import read_deadline

_TimingsMs = dict[str, dict[str, float]]


@dataclass(eq=False, repr=False)
class ClassifyRoute:
    """Answers `/v1/classify`."""

    pipeline: GatewayPipeline
    watch: Watch[Result]
    limits: Limits
    pictures: PictureLimits
    bodies: BodyBudget

    async def classify(self, request: Request) -> Response:
        """Answer one picture; its end is told to the telemetry."""
        headers = plain_headers(request)
        with (
            self.watch.request(CLASSIFY, headers) as watched,
            self.bodies.charge(request.scope) as charge,
        ):
            watched.caller = known_caller(request.scope)
            reply = await self._answer(request, headers, watched, charge)
            watched.sent_bytes = len(reply.body)
            return reply

    async def _answer(
        self, request: Request, headers: dict[str, str], watched: Watched[Result], charge: BodyCharge
    ) -> Response:
        limits = self.limits
        deadline = read_deadline(headers, default_s=limits.default_timeout_s, max_s=limits.max_timeout_s)
        watched.allowed(deadline.remaining_s)
        classes, heads, with_timeline = read_query(request)
        if with_timeline:
            request.state.way = watched  # for the problem, if it comes to that
        picture = await read_picture(
            request, headers, deadline, limits, self.pictures.max_bytes, charge, watched.received
        )
        id_ = request_id(request)
        context = CallContext(deadline, headers, watched.span, request.scope, watched.way)
        cost = await by_size(len(picture), partial(picture_cost, picture, self.pictures))
        asked = request_for_classes(picture, heads, classes, context, id_, cost)
        async with while_connected(request):
            watched.facts = result = await self.pipeline.run(asked)
        timings_ms = {name: hop.timings.in_ms() for name, hop in result.hops.items()}
        content = _heads(result, id_, timings_ms) if heads else _one_head(result, id_, timings_ms)
        if with_timeline:
            content["timeline"] = timeline(watched.way, watched.began_s)
        server_timing = _server_timing(timings_ms)
        afterwards = self.pipeline.comparer.plan(asked, result)
        total_ms = round((time.perf_counter() - came_in_s(request)) * 1000, 3)  # as late as it can still be said
        content["timings_ms"]["total"] = total_ms
        headers_out = {"server-timing": f"{server_timing}, total;dur={total_ms}", **result.headers}
        reply = json_response(content, 207 if heads and result.failures else 200, headers_out)
        if afterwards is not None:
            reply.background = BackgroundTask(afterwards)
        return reply


def classify_router(route: ClassifyRoute) -> APIRouter:
    """The route of `/v1/classify`."""
    router = APIRouter(tags=[edge_docs.CLASSIFY_TAG])
    router.post(CLASSIFY, response_class=Response, **edge_docs.CLASSIFY)(route.classify)
    return router


def _one_head(result: Result, id_: str, timings_ms: _TimingsMs) -> dict[str, Any]:
    """The answer of a request that names no head."""
    (hop,) = result.heads.values()
    return {"id": id_, **_classes(hop), "model": _model(result, result.hops), "timings_ms": {**timings_ms}}


def _heads(result: Result, id_: str, timings_ms: _TimingsMs) -> dict[str, Any]:
    """The answer of a request that names its heads: an entry for each."""
    entries: dict[str, dict[str, Any]] = {
        name: {"status": 200, **_classes(hop), "version": hop.model.version, "timings_ms": timings_ms[name]}
        for name, hop in result.heads.items()
    }
    for name, error in result.failures.items():
        entries[name] = {"status": CHAIN_STATUSES[error.code], "error": problem_details(error, id_)}
    before = {name: timings_ms[name] for name in result.before}
    return {"id": id_, "heads": entries, "model": _model(result, result.before), "timings_ms": before}


def _classes(head: HopAnswer) -> dict[str, Any]:
    return in_answer(head.predictions, head.model.threshold)


def _model(result: Result, hops: Mapping[str, HopAnswer]) -> dict[str, str]:
    """The versions that an answer came through, its feature space and its release."""
    versions = {name: hop.model.version for name, hop in hops.items()}
    release = {} if result.release is None else {"release": result.release}
    return {**versions, "feature_space": result.feature_space, **release}


def _server_timing(timings_ms: _TimingsMs) -> str:
    """The same as `timings_ms`, as `stage.part;dur=...`."""
    parts = [f"{name}.{part};dur={ms}" for name, hop in timings_ms.items() for part, ms in hop.items()]
    return ", ".join(parts)
