"""What a stage says of its work: Prometheus metrics, one registry per app, and the Server-Timing header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from splitway.manifest import Manifest
from splitway.wire.outcome import SECONDS, outcome_of

_ROWS = (1, 2, 4, 8, 16, 32, 64)


class StageMetrics:
    """A process's metrics; the label `stage` is the name of the model."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "splitway_stage_requests_total", "Inference requests.", ["stage", "outcome"], registry=registry
        )
        self.duration = Histogram(
            "splitway_stage_duration_seconds", "Time to an answer.", ["stage"], buckets=SECONDS, registry=registry
        )
        self.compute = Histogram(
            "splitway_stage_compute_seconds",
            "Time in the engine per batch.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self.rows = Histogram(
            "splitway_stage_batch_rows", "Rows per batch.", ["stage"], buckets=_ROWS, registry=registry
        )
        self.in_flight = Gauge("splitway_stage_in_flight", "Requests being answered.", ["stage"], registry=registry)
        self._info = Gauge(
            "splitway_stage_info",
            "What is loaded; always 1.",
            ["stage", "version", "feature_space", "engine"],
            registry=registry,
        )

    def loaded(self, models: Iterable[tuple[Manifest, str]]) -> None:
        """Say which bundles are loaded, and in which engines; what was loaded before is forgotten."""
        self._info.clear()
        for manifest, engine in models:
            self._info.labels(manifest.name, manifest.version, manifest.feature_space, engine).set(1)


class ModelMetrics:
    """Counts one model's requests and batches, whichever version answers."""

    def __init__(self, metrics: StageMetrics, name: str) -> None:
        self._name = name
        self._requests = metrics.requests
        self._duration = metrics.duration.labels(name)
        self._compute = metrics.compute.labels(name)
        self._rows = metrics.rows.labels(name)
        self._in_flight = metrics.in_flight.labels(name)

    def request(self) -> AbstractContextManager[None]:
        """Count one request, and by how it ended: `ok`, the error's code, or `cancelled`."""

        def record(outcome: str, seconds: float) -> None:
            self._in_flight.dec()
            self._requests.labels(self._name, outcome).inc()
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
