"""A replica as `/v1/pipeline` tells of it."""

from __future__ import annotations

from typing import Any

from splitway.gateway.fleet.replica import Replica


def described(replica: Replica, stage: str) -> dict[str, Any]:
    """A replica with the version of the stage's own model, or of another where it serves none of that name."""
    models = replica.models.values()
    first = max(models, key=lambda model: (model.name == stage, model.preference, model.name), default=None)
    return {
        "url": replica.url,
        "number": replica.number,
        "state": replica.state,
        "reason": replica.reason or None,
        "version": None if first is None else first.version,
        "feature_space": None if first is None else first.gives or first.takes,
        "models": [model.describe() for model in replica.models.values()],
        "breaker": replica.breaker.state,
        "breaker_retry_in_s": round(replica.breaker.retry_in_s, 3),
        "in_flight": replica.in_flight,
        "attempts": dict(replica.outcomes),
        "latency_ms": None if replica.latency_s is None else round(replica.latency_s * 1000, 3),
    }
