"""Answers of `/v1/requests`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from splitway.schemas.classify import CODES, HopsTimes, StageTimes
from splitway.schemas.message import AnswerSchema, Share

_Code = Annotated[str, Field(json_schema_extra={"enum": [*CODES]})]


class LatestHead(AnswerSchema):
    """The first class that a head gave, or why it gave none."""

    name: str
    version: str | None
    label: Annotated[str | None, Field(description="Cut to 80 characters; null where no classes were asked for.")]
    confidence: Share | None
    code: _Code | None


class LatestProblem(AnswerSchema):
    """Why a request failed, without the words that its caller got."""

    code: _Code
    title: str
    status: int
    stage: str | None
    retryable: bool


class LatestRequest(AnswerSchema):
    """What became of a request, and where its time went; nothing of what was sent."""

    id: str
    at: Annotated[str, Field(description="When it ended, in UTC.")]
    route: str
    kind: Annotated[Literal["image", "tensors"], Field(description="Of what the pipeline takes.")]
    outcome: Annotated[str, Field(description="`ok`, an error's code, `cancelled` or `caller_deadline`.")]
    heads: list[LatestHead]
    problem: LatestProblem | None
    release: str | None
    part: Literal["current", "canary", "named"] | None
    cache: str | None
    timings_ms: HopsTimes
    timeline: list[StageTimes]


class LatestRequests(AnswerSchema):
    """The last requests for work, newest first."""

    requests: Annotated[list[LatestRequest], Field(max_length=20)]
