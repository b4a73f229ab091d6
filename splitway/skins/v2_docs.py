"""What the API descriptions say of the protocol's routes and messages.

https://github.com/kserve/open-inference-protocol, and Triton's binary tensor data, classification and model repository
extensions.
"""

from __future__ import annotations

from typing import Any

from splitway.http.openapi import (
    INTEGER,
    REQUEST_ID,
    STRING,
    TIMEOUT,
    Docs,
    answer,
    closed,
    header,
    list_of,
    or_null,
    parameter,
    reference,
    refusals,
)
from splitway.names import ATTEMPT_HEADER
from splitway.wire.tensor import BYTES, MAX_RANK, NUMPY_DTYPES
from splitway.wire.v2_fields import MAX_ID, MAX_NAME

TAG = "Open Inference Protocol v2"
ABOUT_TAG = "KServe's protocol, as Triton and others speak it: health, metadata and inference, with binary tensors."
HEADER_LENGTH = "Inference-Header-Content-Length"
_COUNT = {"type": ["integer", "null"], "minimum": 0}
_FLAG = {"type": ["boolean", "null"]}
_DATATYPES = {"type": "string", "enum": [*NUMPY_DTYPES, BYTES]}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_SIZES = list_of({"type": "integer", "minimum": 0}, maxItems=MAX_RANK)
_PARAMETERS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_ASKED = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}
"""Of a request: what is null is absent."""
EXAMPLE: Docs = {
    "inputs": [
        {
            "name": "image",
            "datatype": BYTES,
            "shape": [1],
            "parameters": {"content_type": "base64"},
            "data": [
                "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR42mNgCGBY8AEAA3YB4SAzas4AAAAASUVORK5CYII="
            ],
        }
    ]
}
"""A picture of two by two pixels."""
SCHEMAS: dict[str, Docs] = {
    "Error": closed({"error": STRING}),
    "ServerMetadata": closed({"name": STRING, "version": STRING, "extensions": list_of(STRING)}),
    "ModelTensor": closed(
        {"name": STRING, "datatype": _DATATYPES, "shape": list_of({"type": "integer", "minimum": -1})}
    ),
    "ModelMetadata": closed(
        {
            "name": STRING,
            "versions": list_of(STRING, minItems=1),
            "platform": STRING,
            "inputs": list_of(reference("ModelTensor")),
            "outputs": list_of(reference("ModelTensor")),
            "parameters": {"type": "object", "additionalProperties": or_null(STRING)},
        }
    ),
    "Live": closed({"live": {"const": True}}),
    "NotLive": closed({"live": {"const": False}, "reason": STRING}),
    "Ready": closed({"ready": {"const": True}}),
    "NotReady": closed({"ready": {"const": False}, "error": STRING}),
    "InferenceRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": or_null({"type": "string", "maxLength": MAX_ID}),
            "parameters": {
                **_ASKED,
                "properties": {
                    "timeout": {**_COUNT, "description": "In microseconds; 0 for none."},
                    "binary_data_output": {**_FLAG, "description": "Whether the outputs are to be binary."},
                },
            },
            "inputs": list_of(reference("RequestTensor"), minItems=1),
            "outputs": or_null(
                list_of(reference("RequestedOutput"), description="Those that are wanted; none for all.")
            ),
        },
        "examples": [EXAMPLE],
    },
    "RequestTensor": {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {
            "name": _NAME,
            "datatype": _DATATYPES,
            "shape": _SIZES,
            "parameters": {**_ASKED, "description": "`feature_space`; for BYTES `content_type`: `base64`."},
            "data": {
                "type": "array",
                "items": {"type": ["number", "string", "boolean", "array"]},
                "description": "Row by row, flat or nested as the shape is. In a binary request there is "
                "`parameters.binary_data_size` instead, and the bytes follow the JSON.",
            },
        },
    },
    "RequestedOutput": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": _NAME,
            "parameters": {
                **_ASKED,
                "properties": {
                    "classification": {**_COUNT, "description": "How many classes to give."},
                    "binary_data": {**_FLAG, "description": "Whether this output is to be binary."},
                },
            },
        },
    },
    "InferenceResponse": closed(
        {
            "model_name": STRING,
            "model_version": STRING,
            "id": STRING,
            "parameters": _PARAMETERS,
            "outputs": list_of(reference("ResponseTensor")),
        },
        optional=("id", "parameters"),
    ),
    "ResponseTensor": closed(
        {
            "name": STRING,
            "datatype": _DATATYPES,
            "shape": _SIZES,
            "parameters": _PARAMETERS,
            "data": list_of({"type": ["number", "string", "boolean"]}),
        },
        optional=("parameters", "data"),
    ),
}
"""Of the messages."""
_BINARY = {"type": "string", "format": "binary"}
_MODEL = parameter("model", "path", "The model's name.", {"type": "string", "minLength": 1})
_VERSION = parameter("version", "path", "Its version; without one the default.", {"type": "string", "minLength": 1})
_LENGTH_OUT = {HEADER_LENGTH: header("Bytes of the JSON, if binary tensors follow it.", INTEGER)}
_INFERRED = {
    ATTEMPT_HEADER: header("Attempts of the stage that needed most.", INTEGER),
    "server-timing": header("Where the time went: `queue`, `decode`, `compute`, in milliseconds.", STRING),
}


def _get(summary: str, description: str, schema: str, *statuses: int) -> Docs:
    """A route's `responses` and `openapi_extra`."""
    responses = {200: answer(description, reference(schema)), **refusals(*statuses)}
    return {"responses": responses, "openapi_extra": {"summary": summary}}


_NOT_READY = {503: answer("Not ready, and why.", reference("NotReady"))}
SERVER_METADATA = _get("Say what serves here", "The server's name, version and extensions.", "ServerMetadata")
NOT_LIVE = {503: answer("Something hangs, and the process is about to end.", reference("NotLive"))}
_LIVE = _get("Say that the process runs", "It does.", "Live")
LIVE = {**_LIVE, "responses": _LIVE["responses"] | NOT_LIVE}


def _ready(summary: str, *statuses: int) -> Docs:
    docs = _get(summary, "Ready.", "Ready", *statuses)
    return {**docs, "responses": docs["responses"] | _NOT_READY}


READY = _ready("Say whether everything is ready")


def _of_model(docs: Docs, *, by_version: bool) -> Docs:
    parameters = [_MODEL, _VERSION] if by_version else [_MODEL]
    extra = docs["openapi_extra"]
    return {**docs, "openapi_extra": {**extra, "parameters": [*parameters, *extra.get("parameters", [])]}}


def model_metadata(*, by_version: bool) -> Docs:
    """Documentation of a model's metadata."""
    described = "Names, datatypes and shapes of its tensors; -1 stands for any size."
    return _of_model(_get("Describe a model", described, "ModelMetadata", 404, 503), by_version=by_version)


def model_ready(*, by_version: bool) -> Docs:
    """Documentation of a model's readiness."""
    return _of_model(_ready("Say whether a model is ready", 404), by_version=by_version)


def infer(*, by_version: bool) -> Docs:
    """Documentation of inference."""
    length_in = parameter(
        HEADER_LENGTH,
        "header",
        "Bytes of the JSON at the body's start. With it, whatever the body's content type, binary tensors may follow: "
        "little-endian, row by row, without padding, in the order of their entries. Without it the whole body is JSON.",
        {"type": "integer", "minimum": 0},
    )
    content: dict[str, Any] = {
        "application/json": {"schema": reference("InferenceRequest")},
        "application/octet-stream": {"schema": _BINARY},
    }
    answers = {
        "application/json": {"schema": reference("InferenceResponse")},
        "application/octet-stream": {"schema": _BINARY},
    }
    docs: Docs = {
        "responses": {
            200: {"description": "The outputs.", "content": answers, "headers": {**_INFERRED, **_LENGTH_OUT}},
            **refusals(404, 409, 413, 415, 502, 503, 504),
        },
        "openapi_extra": {
            "summary": "Run a model",
            "description": "Outputs are JSON unless the request asks for binary ones: all by its parameter "
            "`binary_data_output`, one by the output's `binary_data`.",
            "parameters": [length_in, TIMEOUT, REQUEST_ID],
            "requestBody": {"required": True, "content": content},
        },
    }
    return _of_model(docs, by_version=by_version)
