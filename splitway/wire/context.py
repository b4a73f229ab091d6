"""What travels beside a request and its answer, over whichever protocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, MutableSequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from splitway.telemetry.trace import UNRECORDED, Span
from splitway.wire.deadline import Deadline
from splitway.wire.json_data import MAX_JSON_VALUES
from splitway.wire.messages import InferResponse

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class CallContext(NamedTuple):
    """Context of a request: its caller, deadline and trace."""

    deadline: Deadline
    headers: Mapping[str, str]
    span: Span = UNRECORDED
    scope: Mapping[str, Any] = _NOTHING
    """The request's ASGI scope, in whose state stands what was found out before."""
    way: MutableSequence[Any] = deque(maxlen=0)
    """Where what happens to the request is noted, for what looks back at it; as it is, everything is forgotten."""


class Answer(NamedTuple):
    """A response, the headers beside it, and the facts that are counted and logged of how it came about."""

    response: InferResponse
    headers: Mapping[str, str] = _NOTHING
    facts: Any = None


@dataclass(frozen=True)
class Limits:
    """What one request may take."""

    max_body_bytes: int
    max_elements: int
    default_timeout_s: float
    max_timeout_s: float
    max_rows: int | None = None
    """None where the model's own limit is checked later."""
    max_json_values: int = MAX_JSON_VALUES
    """Each of which keeps the event loop for about a microsecond."""
    takes_packed: bool = True
    """Whether bodies may be packed; a small one may unpack to a large one."""
