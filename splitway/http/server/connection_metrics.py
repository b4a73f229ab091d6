"""What a process's connections say of themselves in its metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitway.http.server.connections import Connections


class ConnectionMetrics(Collector):
    """Read whenever metrics are: nothing is kept twice.

    Args:
        connections: the process's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("splitway_connections", "Connections that callers have open.", len(self._connections))
        turned = CounterMetricFamily(
            "splitway_connections_turned_away", "Connections refused or ended early, by why.", labels=["reason"]
        )
        for reason, count in self._connections.refused_by_reason.items():
            turned.add_metric([reason], count)
        yield turned

    describe = collect
