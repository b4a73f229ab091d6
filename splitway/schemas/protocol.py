"""Requests and answers of the Open Inference Protocol.

https://github.com/kserve/open-inference-protocol, and Triton's binary tensor data and classification extensions.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from splitway.schemas.message import AnswerSchema, Count, RequestSchema, Told
from splitway.wire.tensor import BYTES, MAX_RANK, NUMPY_DTYPES
from splitway.wire.v2_fields import MAX_ID, MAX_NAME

EXAMPLE: dict[str, Any] = {
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
Datatype = Annotated[str, WithJsonSchema({"type": "string", "enum": [*NUMPY_DTYPES, BYTES]})]
_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
_Shape = Annotated[list[Count], Field(max_length=MAX_RANK)]
_Scalar = str | float | bool
_Parameters = dict[str, _Scalar]
_Asked = dict[str, _Scalar | None] | None
"""Parameters of a request: null is the same as absent."""


class ErrorMessage(AnswerSchema):
    """An error in the protocol's form."""

    error: str


class ServerMetadata(AnswerSchema):
    """The server's name, version and extensions."""

    name: str = ""
    version: Told[str] = None
    extensions: list[str] = []


class ModelTensor(AnswerSchema):
    """A tensor that a model takes or gives; -1 stands for any size."""

    name: str
    datatype: Datatype
    shape: list[Annotated[int, Field(ge=-1)]]


class ModelMetadata(AnswerSchema):
    """A model and its tensors."""

    name: str
    versions: Annotated[list[str], Field(min_length=1)]
    platform: str
    inputs: list[ModelTensor]
    outputs: list[ModelTensor]
    parameters: dict[str, str | None]


class Live(AnswerSchema):
    """The process runs."""

    live: Literal[True]


class NotLive(AnswerSchema):
    """The process must be started again."""

    live: Literal[False]
    reason: str


class Ready(AnswerSchema):
    """Requests are answered."""

    ready: Literal[True]


class NotReady(AnswerSchema):
    """Requests are not answered yet, or not any more."""

    ready: Literal[False]
    error: str


class InferenceParameters(RequestSchema):
    """Parameters of a request. Null is the same as absent."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _Scalar | None]

    timeout: Annotated[Count | None, Field(description="In microseconds; 0 for none.")] = None
    binary_data_output: Annotated[bool | None, Field(description="Whether the outputs are to be binary.")] = None


class OutputParameters(RequestSchema):
    """Parameters of an output. Null is the same as absent."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, _Scalar | None]

    classification: Annotated[Count | None, Field(description="How many classes to give.")] = None
    all_labels: Annotated[
        bool | None,
        Field(description="Of a multi-label head's classes, give every one that reaches its threshold instead."),
    ] = None
    binary_data: Annotated[bool | None, Field(description="Whether this output is to be binary.")] = None


class OutputRequest(RequestSchema):
    """An output that is wanted."""

    name: _Name
    parameters: OutputParameters | None = None


class RequestTensor(RequestSchema):
    """A tensor for the model."""

    name: _Name
    datatype: Datatype
    shape: _Shape
    parameters: Annotated[_Asked, Field(description="`feature_space`; for BYTES `content_type`: `base64`.")] = None
    data: Annotated[
        list[_Scalar | list[Any]],
        Field(
            description="Row by row, flat or nested as the shape is. In a binary request there is "
            "`parameters.binary_data_size` instead, and the bytes follow the JSON."
        ),
    ]


class InferenceRequest(RequestSchema):
    """Tensors for a model."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    id: Annotated[str, Field(max_length=MAX_ID)] | None = None
    parameters: InferenceParameters | None = None
    inputs: Annotated[list[RequestTensor], Field(min_length=1)]
    outputs: Annotated[list[OutputRequest] | None, Field(description="Those that are wanted; none for all.")] = None


class ResponseTensor(AnswerSchema):
    """A tensor that the model gave. Binary data follow the JSON."""

    MAY_LACK: ClassVar = frozenset({"parameters", "data"})

    name: str
    datatype: Datatype
    shape: _Shape
    parameters: _Parameters = {}
    data: list[_Scalar] = []


class InferenceResponse(AnswerSchema):
    """The model's outputs."""

    MAY_LACK: ClassVar = frozenset({"id", "parameters"})

    model_name: str
    model_version: str
    id: str = ""
    parameters: _Parameters = {}
    outputs: list[ResponseTensor]
