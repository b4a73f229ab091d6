"""What the API description says of `/v1/classify`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from gateway.intake import DEFAULT_TOP_K, FIELD, MAX_HEADS, MAX_TOP_K, MIN_TOP_K, RAW_TYPES
from gateway.problems import MEDIA_TYPE, STATUSES
from gateway.rollout.rollout import CANARY_HEADER, KEY_HEADER
from gateway.routes import RELEASE_HEADER


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
    timeline: list[dict[str, Any]] | None = None


class HeadReply(BaseModel):
    """What one head says, or with another status than 200 why it says nothing."""

    status: int
    label: str | None = None
    confidence: float | None = None
    predictions: list[PredictionModel] | None = None
    version: str | None = None
    timings_ms: dict[str, float] | None = None
    error: dict[str, Any] | None = None


class HeadsReply(BaseModel):
    """What `/v1/classify?heads=...` answers."""

    id: str
    heads: dict[str, HeadReply]
    model: dict[str, str]
    timings_ms: dict[str, Any]
    timeline: list[dict[str, Any]] | None = None


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


_PICTURE_SCHEMA = {"schema": {"type": "string", "format": "binary"}}
CLASSIFY_DOCS: dict[str, Any] = {
    "summary": "Name what a picture shows",
    "parameters": [
        {
            "name": "top_k",
            "in": "query",
            "description": "How many classes to give.",
            "schema": {"type": "integer", "minimum": MIN_TOP_K, "maximum": MAX_TOP_K, "default": DEFAULT_TOP_K},
        },
        {
            "name": "heads",
            "in": "query",
            "description": f"Up to {MAX_HEADS} heads, separated by commas, or * for all that give classes: the "
            "features are computed once, and the reply has an entry for each head.",
            "schema": {"type": "string", "examples": ["classifier,digits", "*"]},
        },
        {
            "name": "timeline",
            "in": "query",
            "description": "Whether the answer, or the problem, says when each stage and each attempt began.",
            "schema": {"type": "boolean", "default": False},
        },
        _header(RELEASE_HEADER, "The release whose versions are to answer."),
        _header(KEY_HEADER, "Requests with the same key fall on the same side of a canary."),
        _header(CANARY_HEADER, "always or never: the side of a canary."),
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
CLASSIFY_REPLIES: dict[int | str, dict[str, Any]] = {
    **{
        status: {"description": "Problem details (RFC 9457)", "content": {MEDIA_TYPE: {}}}
        for status in sorted(set(STATUSES.values()) - {401, 403, 405, 500})
    },
    200: {"model": ClassifyReply | HeadsReply},
    207: {"model": HeadsReply, "description": "Some of the heads that were asked for answered; each has its status."},
}
