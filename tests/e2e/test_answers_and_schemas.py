"""Answers of a pipeline that runs are what the models of `splitway.schemas` say: every field, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from splitway.schemas.classify import ClassifyAnswer, HeadsAnswer, Problem
from splitway.schemas.message import AnswerSchema
from splitway.schemas.pipeline import PipelineReadiness, PipelineStatus
from splitway.schemas.protocol import ErrorMessage, InferenceResponse, Live, ModelMetadata, Ready, ServerMetadata
from splitway.schemas.requests import LatestRequests
from splitway.schemas.stage import StageInventory, StageReadiness
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request

JPEG = {"content-type": "image/jpeg"}
ALL_HEADS = {"heads": "*", "timeline": "true"}


def within(value: Any) -> Iterator[AnswerSchema]:
    """Every model in what was read, itself included."""
    if isinstance(value, AnswerSchema):
        yield value
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from within(each)


def is_whole(schema: type[AnswerSchema], reply: httpx.Response, status: int = 200) -> None:
    assert reply.status_code == status, reply.text
    read = schema.model_validate_json(reply.content, strict=True)
    assert read.model_dump(mode="json", exclude_unset=True) == reply.json()  # nothing in it was unknown
    for each in within(read):
        lacking = type(each).model_fields.keys() - each.model_fields_set
        assert lacking <= each.MAY_LACK, type(each)


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/v1/pipeline", PipelineStatus),
        ("/v1/pipeline?history=true", PipelineStatus),
        ("/v1/requests", LatestRequests),
        ("/readyz", PipelineReadiness),
        ("/livez", Live),
        ("/v2", ServerMetadata),
        ("/v2/health/live", Live),
        ("/v2/health/ready", Ready),
        ("/v2/models/pipeline", ModelMetadata),
        ("/v2/models/pipeline/ready", Ready),
    ],
)
def test_a_gateway_answers_as_its_models_say(gateway: httpx.Client, path: str, schema: type[AnswerSchema]) -> None:
    is_whole(schema, gateway.get(path))


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/v1/stage", StageInventory),
        ("/readyz", StageReadiness),
        ("/v2", ServerMetadata),
        ("/v2/models/feature_extractor", ModelMetadata),
    ],
)
def test_a_stage_answers_as_its_models_say(extractor: httpx.Client, path: str, schema: type[AnswerSchema]) -> None:
    is_whole(schema, extractor.get(path))


def test_classes_come_as_their_models_say(gateway: httpx.Client, cat: bytes) -> None:
    is_whole(ClassifyAnswer, gateway.post("/v1/classify", content=cat, headers=JPEG))
    is_whole(HeadsAnswer, gateway.post("/v1/classify", content=cat, headers=JPEG, params=ALL_HEADS))


def test_tensors_come_as_their_models_say(gateway: httpx.Client, cat: bytes) -> None:
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [cat]),), id="mine"))
    reply = gateway.post("/v2/models/pipeline/infer", content=body, headers={HEADER_LENGTH: length})
    is_whole(InferenceResponse, reply)


def test_errors_come_as_their_models_say(gateway: httpx.Client, extractor: httpx.Client) -> None:
    is_whole(Problem, gateway.post("/v1/classify", content=b"no picture", headers=JPEG, params=ALL_HEADS), 400)
    is_whole(Problem, gateway.get("/nothing"), 404)
    is_whole(ErrorMessage, gateway.get("/v2/models/other"), 404)
    is_whole(ErrorMessage, extractor.get("/nothing"), 404)
