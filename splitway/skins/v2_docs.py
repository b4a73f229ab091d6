"""What the API descriptions say of the protocol's routes."""

from __future__ import annotations

from splitway.http.openapi import BINARY, INTEGER, REQUEST_ID, TIMEOUT, Docs, answer, body, header, parameter, refusals
from splitway.names import ATTEMPT_HEADER
from splitway.schemas import protocol

TAG = "Open Inference Protocol v2"
ABOUT_TAG = "KServe's protocol, as Triton and others speak it: health, metadata and inference, with binary tensors."
HEADER_LENGTH = "Inference-Header-Content-Length"
_READY = {200: answer("Ready.", protocol.Ready), 503: answer("Not ready, and why.", protocol.NotReady)}
_ALIVE = answer("It does.", protocol.Live)
_HANGS = answer("Something hangs, and the process is about to end.", protocol.NotLive)
_TENSORS = "Names, datatypes and shapes of its tensors; -1 stands for any size."
SERVER_METADATA: Docs = {
    "summary": "Say what serves here",
    "responses": {200: answer("The server's name, version and extensions.", protocol.ServerMetadata)},
}
ALIVE: Docs = {"summary": "Say that the process runs", "responses": {200: _ALIVE}}
LIVE = ALIVE | {"responses": {200: _ALIVE, 503: _HANGS}}
READY: Docs = {"summary": "Say whether everything is ready", "responses": _READY}
MODEL_READY: Docs = {"summary": "Say whether a model is ready", "responses": _READY | refusals(404)}
MODEL_METADATA: Docs = {
    "summary": "Describe a model",
    "responses": {200: answer(_TENSORS, protocol.ModelMetadata), **refusals(404, 503)},
}
_LENGTH_IN = parameter(
    HEADER_LENGTH,
    "header",
    "Bytes of the JSON at the body's start. With it, whatever the body's content type, binary tensors may follow: "
    "little-endian, row by row, without padding, in the order of their entries. Without it the whole body is JSON.",
    {"type": "integer", "minimum": 0},
)
_BESIDE = {
    ATTEMPT_HEADER: header("Largest number of attempts of a stage.", INTEGER),
    "server-timing": header("Where the time went: `queue`, `decode`, `compute`, in milliseconds."),
    HEADER_LENGTH: header("Bytes of the JSON, if binary tensors follow it.", INTEGER),
}
_BINARY = {"application/octet-stream": {"schema": BINARY}}
_INFERRED = {"description": "The outputs.", "content": body(protocol.InferenceResponse) | _BINARY, "headers": _BESIDE}
INFER: Docs = {
    "summary": "Run a model",
    "description": "Outputs are JSON unless the request asks for binary ones: all by its parameter "
    "`binary_data_output`, one by the output's `binary_data`.",
    "responses": {200: _INFERRED, **refusals(404, 409, 413, 415, 502, 503, 504)},
    "openapi_extra": {
        "parameters": [_LENGTH_IN, TIMEOUT, REQUEST_ID],
        "requestBody": {"required": True, "content": body(protocol.InferenceRequest) | _BINARY},
    },
}
