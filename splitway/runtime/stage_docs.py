"""What a stage's API description says of its own routes: health, inventory, and the model repository extension."""

from __future__ import annotations

from splitway.http.openapi import (
    BEARER,
    BOOLEAN,
    INTEGER,
    REQUEST_ID,
    STRING,
    TIMEOUT,
    Description,
    Docs,
    answer,
    bearer,
    closed,
    list_of,
    or_null,
    parameter,
    reference,
    refusals,
)
from splitway.manifest import VERSION
from splitway.security import service_token
from splitway.skins import v2_docs
from splitway.skins.v2_rest import STATUSES

HEALTH, MODELS = "health", "Models"
_ABOUT = (
    "One stage of a pipeline: it runs the models of its bundles, over the Open Inference Protocol. Errors are "
    '`{"error": "..."}`.'
)
_TOKEN: dict[str, Docs] = {
    "service": {
        "type": "apiKey",
        "in": "header",
        "name": service_token.HEADER,
        "description": "The token that the gateway and its stages share.",
    }
}
_NUMBERED = {"type": "string", "pattern": VERSION}
_SCHEMAS: dict[str, Docs] = {
    **v2_docs.SCHEMAS,
    "Readiness": closed({"ready": BOOLEAN, "reason": or_null(STRING)}),
    "StageModel": closed(
        {
            "name": STRING,
            "version": _NUMBERED,
            "state": {"enum": ["loading", "ready", "retiring", "failed"]},
            "reason": or_null(STRING),
            "is_default": BOOLEAN,
            "role": {"enum": ["extractor", "body", "head", None]},
            **{name: or_null(STRING) for name in ("feature_space", "gives_space", "source_model", "cut", "engine")},
            "max_rows": or_null(INTEGER),
            "inputs": list_of(reference("ModelTensor")),
            "outputs": list_of(reference("ModelTensor")),
        }
    ),
    "Inventory": closed(
        {
            "stage": STRING,
            "ready": BOOLEAN,
            "reason": or_null(STRING),
            "models": list_of(reference("StageModel")),
        }
    ),
    "IndexRequest": {"type": "object", "properties": {"ready": {**BOOLEAN, "description": "Only those that are."}}},
    "VersionRequest": {
        "type": "object",
        "properties": {
            "parameters": {
                "type": "object",
                "properties": {"version": {**or_null(STRING), "description": "Without it the newest, or all."}},
            }
        },
    },
    "IndexEntry": closed(
        {
            "name": STRING,
            "version": _NUMBERED,
            "state": {"enum": ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]},
            "reason": STRING,
        }
    ),
}
STAGE: Docs = {
    "responses": {200: answer("Every version that is loaded, being loaded, or could not be.", reference("Inventory"))},
    "openapi_extra": {"summary": "Say what is served here", "description": "For probes and people."},
}
LIVEZ: Docs = {
    "responses": {200: answer("It does.", reference("Live"))} | v2_docs.NOT_LIVE,
    "openapi_extra": {"summary": "Say that the process runs"},
}
READYZ: Docs = {
    "responses": {status: answer("Whether, and why not.", reference("Readiness")) for status in (200, 503)},
    "openapi_extra": {"summary": "Say whether everything is ready"},
}


def _administration(summary: str, body: str, done: Docs, *statuses: int, of_model: bool) -> Docs:
    model = parameter("model", "path", "The model's name.", {"type": "string", "minLength": 1})
    return {
        "responses": {200: done, **refusals(401, 403, 413, 415, *statuses, 504)},
        "openapi_extra": {
            "summary": summary,
            "description": "For administrators: the bearer token is the administrator's key, or an API key with the "
            "scope `admin`. Closed where neither is set.",
            "parameters": [*([model] if of_model else []), TIMEOUT, REQUEST_ID],
            "requestBody": {"content": {"application/json": {"schema": reference(body)}}},
            "security": [{BEARER: []}],
        },
    }


_LISTED = answer("The versions, and the state of each.", list_of(reference("IndexEntry")))
_DONE: Docs = {"description": "Done."}
INDEX = _administration("List the models", "IndexRequest", _LISTED, of_model=False)
INDEX_OF_MODEL = _administration("List a model's versions", "IndexRequest", _LISTED, 404, of_model=True)
LOAD = _administration("Load a version", "VersionRequest", _DONE, 404, 503, of_model=True)
UNLOAD = _administration("Unload a version", "VersionRequest", _DONE, 404, 503, of_model=True)


def stage_description(*, needs_token: bool) -> Description:
    """What completes a stage's description.

    Args:
        needs_token: whether the stage requires the services' token.
    """
    return Description(
        about=_ABOUT,
        statuses=STATUSES,
        schemas=_SCHEMAS,
        tags={
            v2_docs.TAG: v2_docs.ABOUT_TAG,
            MODELS: "What is served, and for administrators how to change it.",
            HEALTH: "For orchestrators, load balancers and monitoring.",
        },
        error=lambda _: ("application/json", reference("Error")),
        schemes=bearer("The administrator's key, or an API key with the scope `admin`.") | _TOKEN,
        needed=lambda path: [*_TOKEN] if needs_token and path not in service_token.OPEN else [],
    )
