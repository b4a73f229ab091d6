"""What JSON Schema says of the models, and what readers make of answers of other versions."""

from __future__ import annotations

import pytest

from splitway.schemas.classify import ClassifyAnswer, Problem
from splitway.schemas.message import json_schemas, read_answer
from splitway.schemas.pipeline import PipelineStatus
from splitway.schemas.protocol import InferenceRequest, ServerMetadata

SCHEMAS = json_schemas(model.__name__ for model in (PipelineStatus, ClassifyAnswer, Problem, InferenceRequest))


def test_schemas_within_schemas_are_beside_them() -> None:
    assert {"PipelineStatus", "StageStatus", "ReplicaStatus", "ClassifyAnswer", "RequestTensor"} <= SCHEMAS.keys()
    assert SCHEMAS["StageStatus"]["properties"]["recent"]["$ref"] == "#/components/schemas/RecentStatus"


def test_an_answer_has_all_its_fields_and_no_other() -> None:
    status = SCHEMAS["PipelineStatus"]
    assert status["required"] == [*status["properties"]]
    assert status["additionalProperties"] is False
    problem = SCHEMAS["Problem"]
    assert set(problem["properties"]) - set(problem["required"]) == {"timeline"}


def test_of_the_times_only_their_form_is_known() -> None:
    times = SCHEMAS["HopsTimes"]
    assert times["required"] == ["total"]
    assert times["additionalProperties"]["additionalProperties"] == {"type": "number", "minimum": 0}


def test_what_readers_can_do_without_is_not_null_in_an_answer() -> None:
    replica = SCHEMAS["ReplicaStatus"]["properties"]
    assert replica["in_flight"] == {"type": "integer"}
    assert {"type": "null"} in replica["latency_ms"]["anyOf"]


def test_a_request_may_have_more_fields() -> None:
    request = SCHEMAS["InferenceRequest"]
    assert request["required"] == ["inputs"]
    assert "additionalProperties" not in request


def test_neither_titles_nor_defaults_of_fields_are_told() -> None:
    fields = [field for schema in SCHEMAS.values() for field in schema["properties"].values()]
    assert not [field for field in fields if {"title", "default"} & field.keys()]


def test_a_newer_answer_is_read_without_what_is_new_in_it() -> None:
    assert (
        read_answer(ServerMetadata, b'{"version": "9", "name": "splitway", "extensions": [], "new": 1}').version == "9"
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"version": 1}', b'{"version": NaN}', b"[" * 200_000])
def test_anything_else_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's and orjson's are of this kind
        read_answer(ServerMetadata, body)


def test_what_is_read_cannot_move_the_terminals_cursor() -> None:
    assert read_answer(ServerMetadata, b'{"version": "\\u001b[2J"}').version == "\\x1b[2J"


def test_what_is_nested_without_end_is_a_mistake_and_no_crash() -> None:
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        read_answer(Problem, b"[" * 700 + b"]" * 700)


def test_a_proxys_problem_keeps_its_detail() -> None:
    read = read_answer(
        Problem, b'{"type": "about:blank", "status": 502, "title": "Bad Gateway", "detail": "upstream is down"}'
    )
    assert (read.detail, read.code) == ("upstream is down", "")


def test_parts_that_a_reader_does_not_show_may_lack_fields() -> None:
    said = b'{"ready": true, "stages": [], "heads": [{"name": "a"}], "releases": {"releases": {"one": {}}}}'
    assert read_answer(PipelineStatus, said).ready
