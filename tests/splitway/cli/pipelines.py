"""What a gateway says of itself, as tests need it said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from splitway.cli.status import Look
from splitway.schemas.pipeline import PipelineStatus

URL = "http://127.0.0.1:8080"
AT = datetime(2026, 11, 25, 20, 58, 39, tzinfo=UTC)
RECENT = {"window_s": 10.0, "ended": 87, "failed": 1, "rate_per_s": 8.7, "p50_ms": 10.2, "p99_ms": 14.9}


def replica(port: int, **changes: Any) -> dict[str, Any]:
    """A replica that serves."""
    return {
        "url": f"http://127.0.0.1:{port}",
        "state": "ready",
        "reason": None,
        "version": "1",
        "feature_space": "fs:61b4d6db79be20bf",
        "models": [],
        "breaker": "closed",
        "breaker_retry_in_s": 0.0,
        "in_flight": 2,
        "attempts": {"ok": 60},
        "latency_ms": 9.1,
        **changes,
    }


UNREACHABLE = replica(
    8082,
    state="unreachable",
    reason="cannot be reached",
    breaker="open",
    breaker_retry_in_s=3.2,
    attempts={"ok": 61, "unavailable": 5},
)


def stage(name: str, *replicas: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A stage of these replicas."""
    return {"name": name, "ready": True, "retry_budget": 9.8, "recent": RECENT, "replicas": list(replicas), **changes}


def pipeline(*stages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The answer to /v1/pipeline; two extractors and a classifier, if no stage is given."""
    usual = (stage("feature_extractor", replica(8081), replica(8082)), stage("classifier", replica(8091)))
    return {
        "ready": True,
        "reason": None,
        "gateway": {
            "version": "0.1.0",
            "uptime_s": 8000.5,
            "requests": {"overloaded": 3, "ok": 1234, "invalid_input": 1, "cancelled": 0},
            "recent": RECENT,
        },
        "admission": {"limit": 24.0, "in_flight": 3, "queued": 1, "turned_away": {"queue_full": 3, "wait_too_long": 0}},
        "heads": [],
        "releases": {},
        "stages": list(stages or usual),
        **changes,
    }


def look(answer: dict[str, Any], at_s: float = 100.0) -> Look:
    """The same as it is read."""
    return Look(URL, AT, at_s, answer, PipelineStatus.model_validate(answer))
