"""The last requests: what became of them and where their time went, and nothing of what was sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from splitway.errors import Forbidden, NotFound, RateLimited, SplitwayError, Unauthorized
from splitway.gateway.flow.request import Result
from splitway.gateway.hop.events import Event
from splitway.gateway.hop.turn import HopAnswer, HopTimings
from splitway.gateway.observe.metrics import RequestAnswered
from splitway.gateway.observe.timeline import timeline
from splitway.gateway.observe.traffic import utc
from splitway.gateway.rollout.rollout import Choice, ReleaseRole
from splitway.skins.v2_rest import CHAIN_STATUSES
from splitway.telemetry.outcome import CANCELLED

_KEPT = 20
_LONGEST_LABEL = 80
_LONGEST_WAY = 500
_AT_THE_DOOR = (Unauthorized, Forbidden, RateLimited)
"""Refusals that are not kept, for a stranger could push out everything else with them."""


class _Head(NamedTuple):
    """What one head gave."""

    name: str
    version: str | None
    label: str | None
    confidence: float | None
    code: str | None


class _Gave(NamedTuple):
    """What is kept of an answer."""

    choice: Choice = Choice()
    cache: str | None = None
    heads: Sequence[_Head] = ()
    timings: Mapping[str, HopTimings] = MappingProxyType({})


_NOTHING = _Gave()


class _Kept(NamedTuple):
    """One request."""

    id: str
    at_s: float
    route: str
    outcome: str
    began_s: float
    ended_s: float
    failed_by: type[SplitwayError] | None
    stage: str | None
    way: Sequence[Event]
    gave: _Gave


class Latest:
    """Keeps the last twenty requests for work."""

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque(maxlen=_KEPT)

    def on_request(self, ended: RequestAnswered) -> None:
        """Keep what may be shown of a request that has ended: neither its input nor its features."""
        error, answer = ended.error, ended.facts
        if isinstance(error, _AT_THE_DOOR):
            return
        failed_by = stage = None
        if isinstance(error, SplitwayError):
            failed_by, stage = type(error), None if isinstance(error, NotFound) else error.stage
        elif ended.outcome != CANCELLED and error is not None:
            failed_by = SplitwayError
        way = ended.way if len(ended.way) <= _LONGEST_WAY else ended.way[:_LONGEST_WAY]
        of_end = (ended.request_id, ended.at_s, ended.name, ended.outcome, ended.began_s, ended.ended_s)
        gave = _NOTHING if answer is None else _gave(answer)
        self._kept.append(_Kept(*of_end, failed_by, stage, way, gave))

    def describe(self, kind: str) -> dict[str, Any]:
        """The requests, newest first, for `/v1/requests`; `kind` is of what the pipeline takes."""
        return {"requests": [_described(each, kind) for each in reversed(self._kept)]}


def _gave(answer: Result) -> _Gave:
    heads = [_head(name, hop) for name, hop in answer.heads.items()]
    if answer.failures:
        heads += _failed(answer.failures)
    return _Gave(answer.choice, answer.cache, heads, {name: hop.timings for name, hop in answer.hops.items()})


def _head(name: str, hop: HopAnswer) -> _Head:
    if not hop.predictions:
        return _Head(name, hop.model.version, None, None, None)
    best = hop.predictions[0]
    if hop.model.threshold is not None and best.confidence < hop.model.threshold:
        return _Head(name, hop.model.version, None, None, None)
    return _Head(name, hop.model.version, best.label[: _LONGEST_LABEL + 1], best.confidence, None)


def _failed(failures: Mapping[str, SplitwayError]) -> Iterator[_Head]:
    for name, error in failures.items():
        if not isinstance(error, NotFound):  # a name that the caller made up
            yield _Head(name, None, None, None, error.code)


def _described(kept: _Kept, kind: str) -> dict[str, Any]:
    role, pins = kept.gave.choice.role, kept.gave.choice.pins
    timings: dict[str, Any] = {name: hop.in_ms() for name, hop in kept.gave.timings.items()}
    return {
        "id": kept.id,
        "at": utc(kept.at_s),
        "route": kept.route,
        "kind": kind,
        "outcome": kept.outcome,
        "heads": [_short(head._asdict()) for head in kept.gave.heads],
        "problem": None if kept.failed_by is None else _problem(kept.failed_by, kept.stage),
        "release": None if pins is None else pins.release,
        "part": None if role is ReleaseRole.FREE else role,
        "cache": kept.gave.cache,
        "timings_ms": {"total": round((kept.ended_s - kept.began_s) * 1000, 3), **timings},
        "timeline": timeline(kept.way, kept.began_s),
    }


def _short(head: dict[str, Any]) -> dict[str, Any]:
    label = head["label"]
    is_long = label is not None and len(label) > _LONGEST_LABEL
    return {**head, "label": f"{label[: _LONGEST_LABEL - 1]}…"} if is_long else head


def _problem(failed_by: type[SplitwayError], stage: str | None) -> dict[str, Any]:
    return {
        "code": failed_by.code,
        "title": failed_by.title,
        "status": CHAIN_STATUSES[failed_by.code],
        "stage": stage,
        "retryable": failed_by.retryable,
    }
