"""What `/v1/pipeline` and `/readyz` look like."""

from __future__ import annotations

from splitway.http.openapi import BOOLEAN, INTEGER, NUMBER, STRING, Docs, closed, list_of, or_null, reference

_COUNTS = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_ANYTHING = {"type": "object"}
SCHEMAS: dict[str, Docs] = {
    "Readiness": closed(
        {
            "ready": BOOLEAN,
            "reason": or_null(STRING),
            "stages": {"type": "object", "additionalProperties": STRING, "description": "`ready`, or why not."},
        }
    ),
    "Pipeline": closed(
        {
            "ready": BOOLEAN,
            "reason": or_null(STRING),
            "gateway": closed(
                {"version": STRING, "uptime_s": NUMBER, "requests": _COUNTS, "recent": reference("Recent")}
            ),
            "admission": closed({"limit": INTEGER, "in_flight": INTEGER, "queued": INTEGER, "turned_away": _COUNTS}),
            "heads": list_of(
                closed(
                    {
                        "name": STRING,
                        "ready": BOOLEAN,
                        "version": or_null(STRING),
                        "outputs": list_of(reference("ModelTensor")),
                    }
                )
            ),
            "releases": reference("Releases"),
            "stages": list_of(
                closed(
                    {
                        "name": STRING,
                        "ready": BOOLEAN,
                        "retry_budget": NUMBER,
                        "replicas": list_of(reference("Replica")),
                        "recent": reference("Recent"),
                    }
                )
            ),
        }
    ),
    "Recent": closed(
        {
            "window_s": NUMBER,
            "ended": INTEGER,
            "failed": INTEGER,
            "rate_per_s": NUMBER,
            "p50_ms": or_null(NUMBER),
            "p99_ms": or_null(NUMBER),
        }
    ),
    "Releases": closed(
        {
            **{name: or_null(STRING) for name in ("current", "pending", "previous", "problem")},
            "canary": or_null(_ANYTHING),
            "shadow": or_null(_ANYTHING),
            "rolled_back": {"type": "object", "additionalProperties": STRING},
            "releases": {"type": "object", "additionalProperties": _ANYTHING},
            "background": {"type": "object", "additionalProperties": INTEGER, "required": ["running"]},
        }
    ),
    "Replica": closed(
        {
            "url": STRING,
            "number": INTEGER,
            "state": STRING,
            "reason": or_null(STRING),
            "version": or_null(STRING),
            "feature_space": or_null(STRING),
            "models": list_of(reference("ReplicaModel")),
            "breaker": STRING,
            "breaker_retry_in_s": NUMBER,
            "in_flight": INTEGER,
            "attempts": _COUNTS,
            "latency_ms": or_null(NUMBER),
        }
    ),
    "ReplicaModel": closed(
        {
            "name": STRING,
            "version": STRING,
            "state": STRING,
            "is_default": BOOLEAN,
            "takes": or_null(STRING),
            "gives": or_null(STRING),
        }
    ),
}
