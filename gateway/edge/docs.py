"""What the gateway's API description says: its own routes, and what is true of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from splitway.gateway.edge.intake import DEFAULT_TOP_K, FIELD, MAX_HEADS, MAX_TOP_K, MIN_TOP_K, RAW_TYPES
from splitway.gateway.edge.problems import MEDIA_TYPE, STATUSES
from splitway.gateway.edge.status_docs import SCHEMAS as PIPELINE_SCHEMAS
from splitway.gateway.fleet.router import RELEASE_HEADER
from splitway.gateway.rollout.rollout import CANARY_HEADER, KEY_HEADER
from splitway.http.openapi import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    REQUEST_ID,
    STRING,
    TIMEOUT,
    Description,
    Docs,
    answer,
    bearer,
    closed,
    header,
    list_of,
    or_null,
    parameter,
    reference,
    refusals,
)
from splitway.skins import v2_docs

CLASSIFY_TAG, HEALTH_TAG = "classify", "health"
_ABOUT = (
    "One pipeline of models behind one door: `/v1/classify` names what a picture shows; below `/v2` the whole chain is "
    "the model `pipeline` of the Open Inference Protocol. Errors are problem details (RFC 9457), below `/v2` "
    '`{"error": "..."}`.'
)
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_TIMES = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}}
_HOPS = {
    "type": "object",
    "description": "Milliseconds by stage: `queue`, `decode`, `compute`, `network`, `total`; and in all.",
    "required": ["total"],
    "properties": {"total": NUMBER},
    "additionalProperties": _TIMES,
}
_TEXTS = {"type": "object", "additionalProperties": STRING}
_MODEL = {**_TEXTS, "description": "The versions that answered, their feature space, and the release if there is one."}
_MOMENTS = {"start_ms": NUMBER, "ms": NUMBER, "outcome": STRING}
_ID = {**STRING, "description": "The request's; in `x-request-id` as well."}
_PREDICTED = {"label": STRING, "confidence": _SHARE, "predictions": list_of(reference("Prediction"), minItems=1)}
_BASE64 = {"type": "string", "contentEncoding": "base64", "minLength": 4, "pattern": "^[A-Za-z0-9+/]+={0,2}$"}
SCHEMAS: dict[str, Docs] = {
    **v2_docs.SCHEMAS,
    **PIPELINE_SCHEMAS,
    "InferenceRequest": {
        **v2_docs.SCHEMAS["InferenceRequest"],
        "examples": [v2_docs.EXAMPLE | {"outputs": [{"name": "probabilities", "parameters": {"classification": 3}}]}],
    },
    "Prediction": closed({"label": STRING, "index": {"type": "integer", "minimum": 0}, "confidence": _SHARE}),
    "Answer": closed(
        {"id": _ID, **_PREDICTED, "model": _MODEL, "timings_ms": _HOPS, "timeline": list_of(reference("StageTimes"))},
        optional=("timeline",),
    ),
    "HeadAnswer": closed({"status": {"const": 200}, **_PREDICTED, "version": STRING, "timings_ms": _TIMES}),
    "HeadFailure": closed({"status": {"type": "integer", "minimum": 400}, "error": reference("Problem")}),
    "HeadsAnswer": closed(
        {
            "id": _ID,
            "heads": {
                "type": "object",
                "additionalProperties": {"anyOf": [reference("HeadAnswer"), reference("HeadFailure")]},
            },
            "model": _MODEL,
            "timings_ms": _HOPS,
            "timeline": list_of(reference("StageTimes")),
        },
        optional=("timeline",),
    ),
    "StageTimes": closed({"stage": STRING, **_MOMENTS, "attempts": list_of(reference("AttemptTimes"))}),
    "AttemptTimes": closed({"number": INTEGER, "replica": INTEGER, "is_hedge": BOOLEAN, **_MOMENTS}),
    "Problem": closed(
        {
            "type": {"type": "string", "pattern": "^urn:splitway:error:"},
            "title": STRING,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": STRING,
            "code": {"enum": sorted(STATUSES)},
            "stage": or_null(STRING),
            "retryable": BOOLEAN,
            "id": STRING,
            "timeline": list_of(reference("StageTimes")),
        },
        optional=("timeline",),
    ),
    "ImageInJson": {
        "type": "object",
        "required": [FIELD],
        "properties": {FIELD: {**_BASE64, "examples": v2_docs.EXAMPLE["inputs"][0]["data"]}},
    },
    "ImageInForm": {
        "type": "object",
        "required": [FIELD],
        "properties": {FIELD: {"type": "string", "format": "binary", "description": "A file."}},
    },
}
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
CLASSIFY: Docs = {
    "summary": "Name what a picture shows",
    "description": "A JPEG, PNG or WebP: as the body, as a file of a form, or as base64 in JSON.",
    "parameters": [
        parameter(
            "top_k",
            "query",
            "How many classes to give.",
            {"type": "integer", "minimum": MIN_TOP_K, "maximum": MAX_TOP_K, "default": DEFAULT_TOP_K},
        ),
        parameter(
            "heads",
            "query",
            f"Up to {MAX_HEADS} heads, separated by commas, or * for all that give classes: the features are computed "
            "once, and the reply has an entry for each head.",
            {"type": "string", "minLength": 1, "examples": ["*", "classifier"]},
        ),
        parameter(
            "timeline",
            "query",
            "Whether the answer, or the problem, says when each stage and each attempt began.",
            {"type": "boolean", "default": False},
        ),
        TIMEOUT,
        REQUEST_ID,
        parameter(RELEASE_HEADER, "header", "The release whose versions are to answer.", STRING),
        parameter(KEY_HEADER, "header", "Requests with the same key fall on the same side of a canary.", STRING),
        parameter(CANARY_HEADER, "header", "The side of a canary.", {"type": "string", "enum": ["always", "never"]}),
    ],
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(RAW_TYPES, _PICTURE),
            "multipart/form-data": {"schema": reference("ImageInForm")},
            "application/json": {"schema": reference("ImageInJson")},
        },
    },
}
_BESIDE = {
    "server-timing": header("As `timings_ms`.", STRING),
    "x-attempt-count": header("Attempts of the stage that needed most.", INTEGER),
    RELEASE_HEADER: header("Whose versions answered.", STRING),
    "cache-status": header("Whether kept features were used (RFC 9211).", STRING),
}
_EITHER = {"anyOf": [reference("Answer"), reference("HeadsAnswer")]}
_SOME = "Some of the heads that were asked for answered; each has its status."
REPLIES: dict[int | str, Docs] = {
    200: answer("The classes, best first; by head if heads were named.", _EITHER, headers=_BESIDE),
    207: answer(_SOME, reference("HeadsAnswer"), headers=_BESIDE),
    **refusals(404, 409, 413, 415, 502, 503, 504),
}
PIPELINE: dict[str, Any] = {
    "summary": "Describe the pipeline as it is now",
    "responses": {
        200: answer("The door, the stages, their replicas, the heads and the releases.", reference("Pipeline"))
    },
}
LIVEZ: dict[str, Any] = {
    "summary": "Say that the process runs",
    "responses": {200: answer("It does.", reference("Live"))},
}
READYZ: dict[str, Any] = {
    "summary": "Say whether the pipeline can answer",
    "responses": {s: answer("Whether, and which stage is missing if not.", reference("Readiness")) for s in (200, 503)},
}


def _error(path: str) -> tuple[str, Docs]:
    if path == "/v2" or path.startswith("/v2/"):
        return "application/json", reference("Error")
    return MEDIA_TYPE, reference("Problem")


def gateway_description(needs_key: Callable[[str], bool]) -> Description:
    """What completes the gateway's description.

    Args:
        needs_key: whether a path is only for callers who show who they are.
    """
    return Description(
        about=_ABOUT,
        statuses=STATUSES,
        schemas=SCHEMAS,
        tags={
            CLASSIFY_TAG: "Pictures in, classes out.",
            v2_docs.TAG: v2_docs.ABOUT_TAG,
            HEALTH_TAG: "For orchestrators, load balancers and monitoring.",
        },
        error=_error,
        schemes=bearer("An API key, as `splitway keys create` makes it, or a token of the identity provider."),
        needed=lambda path: ["bearer"] if needs_key(path) else [],
        headers={"x-request-id": header("The request's id.", STRING)},
    )
