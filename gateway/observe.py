"""What the gateway says of its work: Prometheus metrics, one registry per app."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.stage_client import HopTimings

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OK = "ok"


class GatewayMetrics:
    """Counts requests at the edge and the time of each hop."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "splitway_gateway_requests_total", "Requests answered.", ["route", "outcome"], registry=self.registry
        )
        self._duration = Histogram(
            "splitway_gateway_duration_seconds",
            "Time to an answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._hops = Histogram(
            "splitway_gateway_hop_duration_seconds",
            "Time of one stage's turn as the gateway sees it.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def answered(self, route: str, outcome: str, seconds: float) -> None:
        """Count one request; the outcome is `ok` or the error's code."""
        self._requests.labels(route, outcome).inc()
        self._duration.labels(route).observe(seconds)

    def hop(self, stage: str, timings: HopTimings) -> None:
        """Record one hop."""
        self._hops.labels(stage).observe(timings.total)
