"""The gateway's routes that do the work."""

from __future__ import annotations

CLASSIFY = "/v1/classify"
INFER = "/v2/models/pipeline/infer"


def work_asked_for(method: str, path: str) -> str | None:
    """The route of a request that has work done, however the protocol's own is spelt; None for any other request."""
    if method != "POST":
        return None
    if path == CLASSIFY:
        return CLASSIFY
    return INFER if path.endswith("/infer") else None
