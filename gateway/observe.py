"""What the gateway says of its work: Prometheus metrics, one registry per app."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.stage_client import HopTimings
from splitway.errors import SplitwayError

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


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

    @contextmanager
    def request(self, route: str) -> Iterator[None]:
        """Count one request by how it ended: `ok`, the error's code, or `cancelled`."""
        started_s = time.perf_counter()
        outcome = "cancelled"
        try:
            yield
            outcome = "ok"
        except SplitwayError as error:
            outcome = error.code
            raise
        except Exception:
            outcome = SplitwayError.code
            raise
        finally:
            self._requests.labels(route, outcome).inc()
            self._duration.labels(route).observe(time.perf_counter() - started_s)

    def hops(self, timings: Mapping[str, HopTimings]) -> None:
        """Record the hops of one request."""
        for stage, hop in timings.items():
            self._hops.labels(stage).observe(hop.total)
