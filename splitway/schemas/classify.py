"""Answers of `/v1/classify`, and problems (RFC 9457)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from splitway.schemas.message import AnswerSchema, Count, Milliseconds, Share, Told
from splitway.telemetry.outcome import CALLERS, HURRIED, OURS

CODES = sorted((CALLERS | OURS) - {HURRIED})
"""The codes of errors."""
_Times = dict[str, Milliseconds]
_Model = Annotated[
    dict[str, str],
    Field(description="The versions that answered, their feature space, and the release if there is one."),
]
_Id = Annotated[str, Field(description="The request's; in `x-request-id` as well.")]
_ERROR = 400


class PredictedClass(AnswerSchema):
    """A class and its probability."""

    label: str
    index: Count = 0
    confidence: Share


class AttemptTimes(AnswerSchema):
    """When an attempt began, how long it took and how it ended."""

    number: int
    replica: int
    is_hedge: bool
    start_ms: float
    ms: float
    outcome: str


class StageTimes(AnswerSchema):
    """When a stage, or one of its heads, began, how long it took and how it ended."""

    stage: str
    head: Annotated[str | None, Field(description="Its name, if it is a head.")] = None
    takes: Annotated[list[str], Field(description="The entries whose output it was given.")] = []
    cache: Annotated[str | None, Field(description="How the feature cache answered instead of a replica.")] = None
    start_ms: float
    ms: float
    outcome: str
    attempts: list[AttemptTimes]


class HopsTimes(AnswerSchema):
    """Milliseconds in total, and for each stage `queue`, `decode`, `compute`, `network`, `total`."""

    model_config = {"extra": "allow"}
    __pydantic_extra__: dict[str, _Times]

    total: float = 0


class TimedAnswer(AnswerSchema):
    """The fields of all answers of `/v1/classify`."""

    MAY_LACK: ClassVar = frozenset({"timeline"})

    id: _Id = ""
    model: _Model = {}
    timings_ms: HopsTimes
    timeline: list[StageTimes] = []


_MULTI_LABEL = frozenset({"multi_label", "threshold"})


class Classes(AnswerSchema):
    """The classes that a head gives, best first; of a multi-label head those that reach its threshold.

    `multi_label` and `threshold` are in the answer of a multi-label head alone.
    """

    MAY_LACK: ClassVar = _MULTI_LABEL

    label: Annotated[str | None, Field(description="The first; null where a multi-label head gives none.")] = ""
    confidence: Share | None = 0
    predictions: list[PredictedClass]
    multi_label: Told[Literal[True]] = None
    threshold: Told[Share] = None


class ClassifyAnswer(TimedAnswer, Classes):
    """The classes that the default head gives, best first; of a multi-label head those that reach its threshold."""

    MAY_LACK: ClassVar = TimedAnswer.MAY_LACK | _MULTI_LABEL


class HeadAnswer(Classes):
    """The classes that one of several heads gives, best first; of a multi-label head as in the other answer."""

    status: Literal[200] = 200
    version: str = ""
    timings_ms: _Times = {}


class Problem(AnswerSchema):
    """Problem details (RFC 9457)."""

    MAY_LACK: ClassVar = frozenset({"timeline"})

    type: Annotated[str, Field(json_schema_extra={"pattern": "^urn:splitway:error:"})] = ""
    title: str = ""
    status: Annotated[int, Field(ge=_ERROR, le=599)] = 500
    detail: str = ""
    code: Annotated[str, Field(json_schema_extra={"enum": [*CODES]})] = ""
    stage: str | None = None
    retryable: bool = False
    id: str = ""
    timeline: list[StageTimes] = []


class HeadFailure(AnswerSchema):
    """Why one of several heads does not answer."""

    status: Annotated[int, Field(ge=_ERROR)] = 500
    error: Problem


class HeadsAnswer(TimedAnswer):
    """The answer of each of several heads."""

    heads: dict[str, HeadAnswer | HeadFailure]
