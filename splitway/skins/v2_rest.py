"""Open Inference Protocol v2 over HTTP: one thin skin, worn by every stage and by the gateway for the whole chain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, Protocol

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from splitway.errors import SplitwayError, Unauthorized, UnfitInput, printable
from splitway.http.body import pack, packing_asked_for, plain_headers, read_body
from splitway.http.body_budget import BodyBudget
from splitway.http.fast_routes import Endpoint
from splitway.http.hangup import while_connected
from splitway.http.lifecycle import Lifecycle
from splitway.names import UNFIT_ROW_HEADER
from splitway.security.callers.principal import known_caller
from splitway.skins import v2_docs
from splitway.telemetry.watch import Watched
from splitway.version import __version__
from splitway.wire.aside import LARGE_BYTES, aside, by_size
from splitway.wire.context import Answer, CallContext, Limits
from splitway.wire.deadline import read_deadline
from splitway.wire.json_data import AT_ONCE, ManyValues
from splitway.wire.messages import InferRequest
from splitway.wire.v2_json import HEADER_LENGTH, build_response, parse_request

STATUSES: dict[str, int] = {
    "invalid_input": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "slow_body": 408,
    "feature_space_mismatch": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "internal": 500,
    "engine_failed": 500,
    "bad_stage_answer": 502,
    "unavailable": 503,
    "overloaded": 503,
    "deadline_exceeded": 504,
}
CHAIN_STATUSES = STATUSES | {"engine_failed": 502}
"""Of a whole chain: a stage whose model fails is a gateway's bad stage, not the gateway's own failure."""


class Model(Protocol):
    """What runs inferences."""

    def watch(self, headers: MutableMapping[str, str]) -> Watched[Any]:
        """Follow one request, with these headers, until it ends."""

    async def infer(self, request: InferRequest, context: CallContext) -> Answer:
        """Run the model. Raises any SplitwayError."""


class Models(Protocol):
    """What the skin needs beneath it where there are several models, or several versions of one.

    Every method raises NotFound where the model or the version is not served here; without a version the default one
    is meant.
    """

    lifecycle: Lifecycle
    """Whether the process can answer, and must be started again."""

    def model_not_ready_because(self, model: str, version: str | None) -> str | None:
        """The reason why this model cannot serve, or None."""

    def metadata(self, model: str, version: str | None) -> dict[str, Any]:
        """Describe the model."""

    def endpoint(self, model: str, version: str | None) -> Endpoint:
        """The model's inference route. Raises Unavailable while the model is being loaded."""


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose Content-Type is exactly application/json, as clients of the protocol expect."""
    return Response(orjson.dumps(content), status, dict(headers or {}), media_type="application/json")


def error_headers(error: SplitwayError) -> dict[str, str]:
    """What an error says in headers: when to come back, in whole seconds, and how to show who asks."""
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    return headers


def v2_error(error: SplitwayError) -> Response:
    """The protocol's error: `{"error": "<text>"}`."""
    headers = error_headers(error)
    if isinstance(error, UnfitInput):
        headers[UNFIT_ROW_HEADER] = str(error.row)
    return json_response({"error": printable(error.detail)}, STATUSES[error.code], headers)


def live_response(reason: str | None) -> Response:
    """What a process says of itself to whatever starts it again where it must be."""
    if reason is None:
        return json_response({"live": True})
    return json_response({"live": False, "reason": reason}, 503)


def _ready(reason: str | None) -> Response:
    if reason is None:
        return json_response({"ready": True})
    return json_response({"ready": False, "error": reason}, 503)


Parse = Callable[..., InferRequest]
"""Reads a body and what its header-length header says; with `at_once`, only what does not keep the loop for long."""


async def _infer(plane: Model, limits: Limits, bodies: BodyBudget, parse: Parse, request: Request) -> Response:
    headers = plain_headers(request)
    with plane.watch(headers) as watched, bodies.charge(request.scope) as charge:
        watched.caller = known_caller(request.scope)
        deadline = read_deadline(headers, default_s=limits.default_timeout_s, max_s=limits.max_timeout_s)
        watched.allowed(deadline.remaining_s)
        packed = limits.takes_packed
        body = await read_body(request, headers, limits.max_body_bytes, deadline, charge, takes_packed=packed)
        watched.received(len(body))
        length = headers.get(HEADER_LENGTH)
        try:
            is_large = len(body) > LARGE_BYTES
            parsed = None if is_large else parse(body, length, at_once=AT_ONCE)
        except ManyValues:
            parsed = None
        if parsed is None:
            parsed = await aside(partial(parse, body, length))
        context = CallContext(deadline.sooner(parsed.timeout_s), headers, watched.span, request.scope, watched.way)
        async with while_connected(request):
            answer = await plane.infer(parsed, context)
        watched.facts = answer.facts
        packing = packing_asked_for(headers.get("accept-encoding"))
        response = await by_size(answer.response.size, partial(_answered, answer, parsed, packing))
        watched.sent_bytes = len(response.body)
        return response


def _answered(answer: Answer, request: InferRequest, packing: str | None) -> Response:
    payload, header_length = build_response(answer.response, request)
    extra = dict(answer.headers)
    if header_length is not None:
        extra[HEADER_LENGTH] = header_length
    if packing is not None:
        payload, extra["content-encoding"] = pack(payload, packing), packing
    media_type = "application/json" if header_length is None else "application/octet-stream"
    return Response(payload, 200, extra, media_type=media_type)


def infer_endpoint(plane: Model, limits: Limits, bodies: BodyBudget) -> Endpoint:
    """The inference route of one model, without a router around it; its requests' bodies share a process's memory."""
    parse = partial(
        parse_request,
        max_elements=limits.max_elements,
        max_rows=limits.max_rows,
        max_json_values=limits.max_json_values,
    )
    return partial(_infer, plane, limits, bodies, parse)


def models_router(models: Models, extensions: Sequence[str]) -> APIRouter:
    """The protocol's routes over any number of models, in the order in which they are described."""
    router = APIRouter(prefix="/v2", tags=[v2_docs.TAG], default_response_class=Response)
    model, version = "/models/{model}", "/models/{model}/versions/{version}"

    @router.post(f"{version}/infer", **v2_docs.INFER)
    @router.post(f"{model}/infer", **v2_docs.INFER)
    async def infer(request: Request) -> Response:
        return await models.endpoint(*_asked(request))(request)

    @router.get("/", **v2_docs.SERVER_METADATA)
    @router.get("", **v2_docs.SERVER_METADATA)
    async def server_metadata() -> Response:
        return json_response({"name": "splitway", "version": __version__, "extensions": extensions})

    @router.get("/health/live", **v2_docs.LIVE)
    async def live() -> Response:
        return live_response(models.lifecycle.hang)

    @router.get("/health/ready", **v2_docs.READY)
    async def ready() -> Response:
        return _ready(models.lifecycle.not_ready_because)

    @router.get(model, **v2_docs.MODEL_METADATA)
    async def model_metadata(request: Request) -> Response:
        return json_response(models.metadata(*_asked(request)))

    @router.get(f"{model}/ready", **v2_docs.MODEL_READY)
    async def model_ready(request: Request) -> Response:
        return _ready(models.model_not_ready_because(*_asked(request)))

    router.get(version, **v2_docs.MODEL_METADATA)(model_metadata)
    router.get(f"{version}/ready", **v2_docs.MODEL_READY)(model_ready)
    return router


def _asked(request: Request) -> tuple[str, str | None]:
    """The model and the version that a path names."""
    return request.path_params["model"], request.path_params.get("version")
