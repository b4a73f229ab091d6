"""Requests and answers of a stage's own routes, and of Triton's model repository extension."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from splitway.names import VERSION, Role
from splitway.schemas.message import AnswerSchema, RequestSchema, Share
from splitway.schemas.protocol import ModelTensor

_Version = Annotated[str, Field(pattern=VERSION)]


class StageReadiness(AnswerSchema):
    """Whether a stage can answer, and why not."""

    ready: bool
    reason: str | None


class StageModel(AnswerSchema):
    """A version that is loaded, being loaded, or could not be."""

    name: str
    version: _Version
    state: Literal["loading", "ready", "retiring", "failed"]
    reason: str | None
    is_default: bool
    role: Role | None
    feature_space: str | None
    gives_space: str | None
    source_model: str | None
    cut: str | None
    engine: str | None
    max_rows: int | None
    threshold: Annotated[Share | None, Field(description="Of a multi-label head: the least probability it gives.")]
    unsure_below: Annotated[Share | None, Field(description="Show a first class of a lower probability as not sure.")]
    inputs: list[ModelTensor]
    outputs: list[ModelTensor]


class StageInventory(StageReadiness):
    """The models that a stage serves."""

    stage: str
    models: list[StageModel]
    started_at: Annotated[str, Field(description="When this process began, in UTC: another one says another time.")]


class IndexRequest(RequestSchema):
    """Which models to list."""

    ready: Annotated[bool, Field(description="Only those that are.")] = False


class VersionParameters(RequestSchema):
    """Which version is meant."""

    version: Annotated[str | None, Field(description="Without it the newest, or all.")] = None


class VersionRequest(RequestSchema):
    """Which version of a model to load or unload."""

    parameters: VersionParameters = VersionParameters()


class IndexEntry(AnswerSchema):
    """A version and its state."""

    name: str
    version: _Version
    state: Literal["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]
    reason: str
