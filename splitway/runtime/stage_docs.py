"""What a stage's API description says of its own routes: health, inventory, and the model repository extension."""

from __future__ import annotations

from splitway.http.openapi import (
    BEARER,
    REQUEST_ID,
    TIMEOUT,
    Description,
    Docs,
    answer,
    bearer,
    body,
    reference,
    refusals,
)
from splitway.names import TOKEN_HEADER
from splitway.schemas.message import RequestSchema
from splitway.schemas.protocol import ErrorMessage
from splitway.schemas.stage import IndexEntry, IndexRequest, StageInventory, StageReadiness, VersionRequest
from splitway.security.service_token import OPEN
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
        "name": TOKEN_HEADER,
        "description": "The token that the gateway and its stages share.",
    }
}
STAGE: Docs = {
    "summary": "Say what is served here",
    "description": "For probes and people.",
    "responses": {200: answer("Every version that is loaded, being loaded, or could not be.", StageInventory)},
}
LIVEZ = v2_docs.LIVE
_WHETHER = answer("Whether, and why not.", StageReadiness)
READYZ: Docs = {"summary": "Say whether everything is ready", "responses": dict.fromkeys((200, 503), _WHETHER)}


def _administration(summary: str, schema: type[RequestSchema], done: Docs, *statuses: int) -> Docs:
    return {
        "summary": summary,
        "description": "For administrators: the bearer token is the administrator's key, or an API key with the "
        "scope `admin`. Closed where neither is set.",
        "responses": {200: done, **refusals(401, 403, 413, 415, *statuses, 504)},
        "openapi_extra": {
            "parameters": [TIMEOUT, REQUEST_ID],
            "requestBody": {"content": body(schema)},
            "security": [{BEARER: []}],
        },
    }


_ENTRIES = {"type": "array", "items": reference(IndexEntry)}
_LISTED = {
    "description": "The versions, and the state of each.",
    "content": {"application/json": {"schema": _ENTRIES}},
}
_DONE: Docs = {"description": "Done."}
INDEX = _administration("List the models", IndexRequest, _LISTED)
INDEX_OF_MODEL = _administration("List a model's versions", IndexRequest, _LISTED, 404)
LOAD = _administration("Load a version", VersionRequest, _DONE, 404, 503)
UNLOAD = _administration("Unload a version", VersionRequest, _DONE, 404, 503)


def stage_description(*, needs_token: bool) -> Description:
    """What completes a stage's description.

    Args:
        needs_token: whether requests need the services' token.
    """
    return Description(
        about=_ABOUT,
        statuses=STATUSES,
        tags={
            v2_docs.TAG: v2_docs.ABOUT_TAG,
            MODELS: "What is served, and for administrators how to change it.",
            HEALTH: "For orchestrators, load balancers and monitoring.",
        },
        error=lambda _: ("application/json", reference(ErrorMessage)),
        schemes=bearer("The administrator's key, or an API key with the scope `admin`.") | _TOKEN,
        needed=lambda path: [*_TOKEN] if needs_token and path not in OPEN else [],
    )
