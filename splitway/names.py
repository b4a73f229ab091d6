"""What stages, tensors and headers are called: the one place of names that several packages say."""

from __future__ import annotations

from typing import Literal

Role = Literal["extractor", "body", "head"]
NAME = r"^[a-z][a-z0-9_]{0,63}$"
"""What a stage, a model and a service may be called."""
VERSION = r"^[1-9][0-9]{0,17}$"
SPACE = r"^fs:[0-9a-f]{16}$"
"""A feature space."""

GATEWAY = "gateway"
EXTRACTOR = "feature_extractor"
HEADS = "classifier"
"""The stage that serves every head."""
DEFAULT_HEAD = "classifier"
"""The head that answers where none is named."""
ALL_HEADS = "*"
BODY = "body"
"""What stages between extractor and heads are called, with a number behind it."""
BODY_NAME = rf"{BODY}_[1-9][0-9]*"
PIPELINE = "pipeline"
"""The model that is the whole chain, at the gateway."""

IMAGE = "image"
PIXELS = "pixels"
FEATURES = "features"
PROBABILITIES = "probabilities"

REQUEST_ID_HEADER = "x-request-id"
TIMEOUT_HEADER = "x-request-timeout-ms"
ENVOY_TIMEOUT_HEADER = "x-envoy-expected-rq-timeout-ms"
ATTEMPT_HEADER = "x-attempt-count"
"""To a stage: which of a request's attempts there this is, from 1. To a caller: of the stage that needed most."""
CALLER_HEADER = "x-splitway-caller"
"""To a stage: a word for whose request this is, the same for every request of theirs; it does not say who they are."""
UNFIT_ROW_HEADER = "x-splitway-unfit-row"
"""Beside a stage's 400: the request was as it should be, and its model cannot answer this row, from 0."""
TOKEN_HEADER = "x-service-token"  # noqa: S105 - its name
RELEASE_HEADER = "x-splitway-release"
"""Names a request's release, and says whose an answer is."""
CANARY_HEADER = "x-splitway-canary"
"""The side of a canary that a request is for."""
KEY_HEADER = "x-splitway-key"
"""Requests of one key fall on the same side of a canary."""


def stage_names(parts: int, head: str = DEFAULT_HEAD) -> list[str]:
    """Return the names of the bundles of a model with this number of parts."""
    return [EXTRACTOR, *(f"{BODY}_{number}" for number in range(1, parts - 1)), head]
