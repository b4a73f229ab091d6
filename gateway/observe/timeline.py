"""Where one request's time went, stage by stage and attempt by attempt, out of what was noted on its way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

from splitway.gateway.hop.events import AttemptEnded, Event, HopEnded

Ended = TypeVar("Ended", AttemptEnded, HopEnded)
_MOST = 64
"""Stages, and attempts at each of them, that are listed."""


def timeline(way: Iterable[Event], began_s: float) -> list[dict[str, Any]]:
    """The stages and heads that a request went to, in order of their start, in milliseconds since it began."""
    attempts: dict[tuple[str, float], list[AttemptEnded]] = defaultdict(list)
    hops: list[HopEnded] = []
    for event in way:
        if isinstance(event, AttemptEnded):
            attempts[event.model, event.turn_s].append(event)
        elif isinstance(event, HopEnded):
            hops.append(event)
    return [
        {
            "stage": hop.model,
            "head": hop.model if hop.role == "head" else None,
            "takes": hop.takes,
            "cache": hop.cache,
            **_times(hop, began_s),
            "attempts": [_attempt(each, began_s) for each in _in_order(attempts[hop.model, hop.began_s])],
        }
        for hop in _in_order(hops)
    ]


def _in_order(events: list[Ended]) -> list[Ended]:
    return sorted(events, key=lambda event: event.began_s)[:_MOST]


def _attempt(event: AttemptEnded, began_s: float) -> dict[str, Any]:
    """Its replica by number: where that is, `/v1/pipeline` says to those who may know."""
    told = {"number": event.number, "replica": event.replica_number, "is_hedge": event.is_hedge}
    return told | _times(event, began_s)


def _times(event: AttemptEnded | HopEnded, began_s: float) -> dict[str, Any]:
    return {
        "start_ms": round((event.began_s - began_s) * 1000, 3),
        "ms": round(event.seconds * 1000, 3),
        "outcome": event.outcome,
    }
