"""The gateway's routes that do the work."""

from __future__ import annotations

CLASSIFY = "/v1/classify"
INFER = "/v2/models/pipeline/infer"
