"""What the gateway says of its work: Prometheus metrics, one registry per app."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.chain import ChainAnswer
from gateway.events import AttemptEnded, Event
from gateway.live_metrics import LiveMetrics
from gateway.pipeline import Pipeline
from gateway.stage_client import HopTimings
from splitway.errors import NotFound
from splitway.wire.outcome import SECONDS, outcome_of


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
            buckets=SECONDS,
            registry=self.registry,
        )
        self._hops = Histogram(
            "splitway_gateway_hop_duration_seconds",
            "Time of one stage's turn as the gateway sees it.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )

        self._heads = Counter(
            "splitway_gateway_head_requests_total",
            "Heads of answered requests, by how they ended.",
            ["head", "outcome"],
            registry=self.registry,
        )
        self._attempts = Counter(
            "splitway_gateway_attempts_total",
            "Calls to replicas, by how they ended.",
            ["stage", "replica", "outcome"],
            registry=self.registry,
        )
        self._retries = Counter(
            "splitway_gateway_retries_total",
            "Calls beyond a request's first to a stage, after an earlier one had failed.",
            ["stage"],
            registry=self.registry,
        )
        self._hedges = Counter(
            "splitway_gateway_hedges_total",
            "Calls beside an earlier one that took long, by how they ended.",
            ["stage", "outcome"],
            registry=self.registry,
        )
        self._rate_limited = Counter(
            "splitway_gateway_rate_limited_total", "Requests over their client's rate.", registry=self.registry
        )
        self._breaker_moves = Counter(
            "splitway_gateway_breaker_transitions_total",
            "Changes of a breaker's state.",
            ["stage", "replica", "state"],
            registry=self.registry,
        )

    def on_event(self, event: Event) -> None:
        """Count what happens between the gateway and its stages."""
        if isinstance(event, AttemptEnded):
            self._attempts.labels(event.stage, event.replica, event.outcome).inc()
            if event.is_hedge:
                self._hedges.labels(event.stage, event.outcome).inc()
            elif event.number > 1:
                self._retries.labels(event.stage).inc()
        else:
            self._breaker_moves.labels(event.stage, event.replica, event.transition.new).inc()

    def watch(self, pipeline: Pipeline) -> None:
        """Show what the pipeline's parts say of themselves whenever metrics are read."""
        self.registry.register(LiveMetrics(pipeline))

    def rate_limited(self) -> None:
        """Count one request that was over its client's rate."""
        self._rate_limited.inc()

    def request(self, route: str) -> AbstractContextManager[None]:
        """Count one request by how it ended: `ok`, the error's code, or `cancelled`."""

        def record(outcome: str, seconds: float) -> None:
            self._requests.labels(route, outcome).inc()
            self._duration.labels(route).observe(seconds)

        return outcome_of(record)

    def heads(self, answer: ChainAnswer) -> None:
        """Count how each head of one request ended. Names that callers made up are not counted."""
        for name in answer.heads:
            self._heads.labels(name, "ok").inc()
        for name, error in answer.failures.items():
            if not isinstance(error, NotFound):
                self._heads.labels(name, error.code).inc()

    def hops(self, timings: Mapping[str, HopTimings]) -> None:
        """Record the hops of one request."""
        for stage, hop in timings.items():
            self._hops.labels(stage).observe(hop.total)
