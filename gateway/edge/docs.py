"""What the gateway's API description says: its own routes, and what is true of all of them."""

from __future__ import annotations

from collections.abc import Callable

from splitway.gateway.edge.intake import FIELD
from splitway.gateway.edge.problems import MEDIA_TYPE, speaks_v2
from splitway.gateway.edge.query import DEFAULT_TOP_K, MAX_HEADS, MAX_TOP_K, MIN_TOP_K
from splitway.http.openapi import (
    BINARY,
    INTEGER,
    REQUEST_ID,
    TIMEOUT,
    Description,
    Docs,
    answer,
    bearer,
    header,
    parameter,
    reference,
    refusals,
)
from splitway.kinds.image.kind import MEDIA_TYPES
from splitway.names import ATTEMPT_HEADER, CANARY_HEADER, KEY_HEADER, RELEASE_HEADER, REQUEST_ID_HEADER
from splitway.schemas.classify import ClassifyAnswer, HeadsAnswer, Problem
from splitway.schemas.pipeline import PipelineReadiness, PipelineStatus
from splitway.schemas.protocol import EXAMPLE, ErrorMessage
from splitway.schemas.requests import LatestRequests
from splitway.skins import v2_docs
from splitway.skins.v2_rest import CHAIN_STATUSES

CLASSIFY_TAG, HEALTH_TAG = "classify", "health"
HISTORY = "history"
_ABOUT = (
    "One pipeline of models behind one gateway: `/v1/classify` classifies pictures; below `/v2` the whole chain is "
    "the model `pipeline` of the Open Inference Protocol. Errors are problem details (RFC 9457), below `/v2` "
    '`{"error": "..."}`.'
)
_EXAMPLE = EXAMPLE | {"outputs": [{"name": "probabilities", "parameters": {"classification": 3}}]}
_BASE64 = {"type": "string", "contentEncoding": "base64", "minLength": 4, "pattern": "^[A-Za-z0-9+/]+={0,2}$"}


def _with_image(field: Docs) -> Docs:
    return {"schema": {"type": "object", "required": [FIELD], "properties": {FIELD: field}}}


_CLASSIFY: Docs = {
    "summary": "Classify a picture",
    "description": "A JPEG, PNG or WebP: as the body, as a file of a form, or as base64 in JSON.",
    "parameters": [
        parameter(
            "top_k",
            "query",
            "Number of classes in the answer. A multi-label head gives every label that reaches its threshold; of it "
            "this is the most, and only where it is given.",
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
            "Whether the answer, or the problem, lists the start of each stage call and attempt.",
            {"type": "boolean", "default": False},
        ),
        TIMEOUT,
        REQUEST_ID,
        parameter(RELEASE_HEADER, "header", "The release that should answer."),
        parameter(KEY_HEADER, "header", "Requests with the same key are on the same side of a canary."),
        parameter(
            CANARY_HEADER,
            "header",
            "`always` or `never` use the canary.",
            {"type": "string", "enum": ["always", "never"]},
        ),
    ],
    "requestBody": {
        "required": True,
        "content": {
            **{media_type: {"schema": BINARY} for media_type in MEDIA_TYPES},
            "multipart/form-data": _with_image({**BINARY, "description": "A file."}),
            "application/json": _with_image({**_BASE64, "examples": EXAMPLE["inputs"][0]["data"]}),
        },
    },
}
_BESIDE = {
    "server-timing": header("As `timings_ms`."),
    ATTEMPT_HEADER: header("Largest number of attempts of a stage.", INTEGER),
    RELEASE_HEADER: header("The release that answered."),
    "cache-status": header("Result of the feature cache (RFC 9211)."),
}
_ALL = "The classes, best first; by head if heads were named."
_SOME = "Some of the requested heads answered; each has its status."
CLASSIFY: Docs = {
    "openapi_extra": _CLASSIFY,
    "responses": {
        200: answer(_ALL, ClassifyAnswer, HeadsAnswer, headers=_BESIDE),
        207: answer(_SOME, HeadsAnswer, headers=_BESIDE),
        **refusals(404, 409, 413, 415, 502, 503, 504),
    },
}
PIPELINE: Docs = {
    "summary": "Show the pipeline's state",
    "openapi_extra": {
        "parameters": [
            parameter(
                HISTORY,
                "query",
                "Whether to give the last five minutes too, of the gateway, each stage and each replica.",
                {"type": "boolean", "default": False},
            )
        ]
    },
    "responses": {200: answer("Admission, stages, replicas, heads and releases.", PipelineStatus)},
}
REQUESTS: Docs = {
    "summary": "Show the last twenty requests",
    "description": "What became of them and where their time went; nothing of what was sent.",
    "responses": {200: answer("The requests, newest first.", LatestRequests)},
}
LIVEZ = v2_docs.ALIVE
_WHETHER = answer("Ready or not, with the stage that is missing.", PipelineReadiness)
READYZ: Docs = {"summary": "Readiness of the pipeline", "responses": dict.fromkeys((200, 503), _WHETHER)}


def _error(path: str) -> tuple[str, Docs]:
    return ("application/json", reference(ErrorMessage)) if speaks_v2(path) else (MEDIA_TYPE, reference(Problem))


def gateway_description(needs_key: Callable[[str], bool]) -> Description:
    """What completes the gateway's description. `needs_key` tells which paths are only for callers with a key."""
    return Description(
        about=_ABOUT,
        statuses=CHAIN_STATUSES,
        tags={
            CLASSIFY_TAG: "Pictures in, classes out.",
            v2_docs.TAG: v2_docs.ABOUT_TAG,
            HEALTH_TAG: "For orchestrators, load balancers and monitoring.",
        },
        error=_error,
        schemes=bearer("An API key, as `splitway keys create` makes it, or a token of the identity provider."),
        needed=lambda path: ["bearer"] if needs_key(path) else [],
        headers={REQUEST_ID_HEADER: header("The request's id.")},
        examples={"InferenceRequest": [_EXAMPLE]},
    )
