"""What a process says of the memory for its requests' bodies, read whenever metrics are."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitway.http.body_budget import BodyBudget, Refused


class BodyMetrics(Collector):
    """The bytes that are held, those that may be, and the bodies there was no room for.

    Args:
        prefix: what the names begin with.
        bodies: the budget.
    """

    def __init__(self, prefix: str, bodies: BodyBudget) -> None:
        self._prefix = prefix
        self._bodies = bodies

    def collect(self) -> Iterator[Metric]:
        prefix, bodies = self._prefix, self._bodies
        yield GaugeMetricFamily(f"{prefix}_body_bytes", "Bytes of request bodies in memory.", bodies.held_bytes)
        yield GaugeMetricFamily(
            f"{prefix}_body_memory_bytes", "Limit on bytes of request bodies in memory.", bodies.most_bytes
        )
        refused = CounterMetricFamily(
            f"{prefix}_bodies_refused",
            "Requests refused for lack of memory for bodies, by reason.",
            labels=["reason"],
        )
        for reason in Refused:
            refused.add_metric([reason], bodies.refused[reason])
        yield refused

    describe = collect
    """So that the registry knows the names, and takes each once."""
