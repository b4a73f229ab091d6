"""What a stage says of its work: Prometheus metrics, one registry per app, and the Server-Timing header."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from splitway.bundle import Manifest
from splitway.wire.outcome import SECONDS, outcome_of

_ROWS = (1, 2, 4, 8, 16, 32, 64)


class StageMetrics:
    """Counts one stage's requests and batches."""

    def __init__(self, manifest: Manifest, engine: str) -> None:
        self.registry = CollectorRegistry()
        labels = {"stage": manifest.name}
        self._requests = Counter(
            "splitway_stage_requests_total", "Inference requests.", ["stage", "outcome"], registry=self.registry
        )
        self._duration = Histogram(
            "splitway_stage_duration_seconds", "Time to an answer.", ["stage"], buckets=SECONDS, registry=self.registry
        ).labels(**labels)
        self._compute = Histogram(
            "splitway_stage_compute_seconds",
            "Time in the engine per batch.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        ).labels(**labels)
        self._rows = Histogram(
            "splitway_stage_batch_rows", "Rows per batch.", ["stage"], buckets=_ROWS, registry=self.registry
        ).labels(**labels)
        self._in_flight = Gauge(
            "splitway_stage_in_flight", "Requests being answered.", ["stage"], registry=self.registry
        ).labels(**labels)
        info = Gauge(
            "splitway_stage_info",
            "What is served; always 1.",
            ["stage", "version", "feature_space", "engine"],
            registry=self.registry,
        )
        info.labels(manifest.name, manifest.version, manifest.feature_space, engine).set(1)
        self._stage = manifest.name

    def request(self) -> AbstractContextManager[None]:
        """Count one request, and by how it ended: `ok`, the error's code, or `cancelled`."""

        def record(outcome: str, seconds: float) -> None:
            self._in_flight.dec()
            self._requests.labels(self._stage, outcome).inc()
            self._duration.observe(seconds)

        self._in_flight.inc()
        return outcome_of(record)

    def batch(self, rows: int, compute_s: float) -> None:
        """Record the batch that a request was answered in."""
        self._rows.observe(rows)
        self._compute.observe(compute_s)


def server_timing(seconds: Mapping[str, float]) -> str:
    """Format durations as a Server-Timing header, in milliseconds (W3C Server Timing)."""
    return ", ".join(f"{name};dur={value * 1000:.3f}" for name, value in seconds.items())
