"""Errors at the edge: RFC 9457 problem details, and the protocol's own form below /v2."""

from __future__ import annotations

import secrets
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from splitway.errors import SplitwayError, printable
from splitway.gateway.observe.timeline import timeline
from splitway.names import REQUEST_ID_HEADER
from splitway.skins.v2_rest import CHAIN_STATUSES, error_headers, v2_error

MEDIA_TYPE = "application/problem+json"


def problem_details(error: SplitwayError, request_id: str) -> dict[str, Any]:
    """Problem details, as an object."""
    return {
        "type": f"urn:splitway:error:{error.code}",
        "title": error.title,
        "status": CHAIN_STATUSES[error.code],
        "detail": printable(error.detail),
        "code": error.code,
        "stage": error.stage,
        "retryable": error.retryable,
        "id": request_id,
    }


def render(request: Request, error: SplitwayError) -> Response:
    """Answer in the form that the route's callers read, with the time line of a request that asked for it."""
    if speaks_v2(request.scope["path"]):  # `request.url` fails for some query strings
        return v2_error(error)
    id_, followed = request_id(request), getattr(request.state, "way", None)
    details = problem_details(error, id_)
    if followed is not None:
        details["timeline"] = timeline(followed.way, followed.began_s)
    content = orjson.dumps(details)
    return Response(content, details["status"], {REQUEST_ID_HEADER: id_} | error_headers(error), MEDIA_TYPE)


def speaks_v2(path: str) -> bool:
    """Whether errors of this path have the protocol's form."""
    return path == "/v2" or path.startswith("/v2/")


def refuse(error: SplitwayError, status: int, path: str) -> tuple[str, bytes]:
    """The media type and the body of an answer to what never became a request; its path may be unknown, or broken."""
    if speaks_v2(path):
        answer = v2_error(error)
        return str(answer.media_type), bytes(answer.body)
    return MEDIA_TYPE, orjson.dumps(problem_details(error, secrets.token_hex(16)) | {"status": status})


def request_id(request: Request) -> str:
    """The id that the edge gave this request; one that was refused before gets one here."""
    return str(getattr(request.state, "request_id", None) or secrets.token_hex(16))
