"""What the gateway's parts say of themselves, read whenever metrics are: nothing is kept twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitway.gateway.flow.compare import ENDS
from splitway.gateway.flow.feature_cache import CacheResult
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.resilience.admission import Turned
from splitway.gateway.resilience.breaker import BreakerState


@dataclass(eq=False, repr=False)
class LiveMetrics(Collector):
    """The door, the retry budgets and every replica, as they are now."""

    pipeline: GatewayPipeline
    on_head: Callable[[str], None]
    """Told of the heads that there are, before anything may have been counted of them."""

    def describe(self) -> list[Metric]:
        """Nothing: what there is to say is known only while the gateway runs."""
        return []

    def collect(self) -> Iterator[Metric]:
        for head in self.pipeline.router.heads(self.pipeline.rollout.current.pins):
            self.on_head(head)
        yield from self._door()
        yield from self._replicas()
        yield from self._cache()
        yield from self._releases()
        stages = self.pipeline.stages
        budgets = [(stage.name, stage.budget.tokens) for stage in stages]
        yield _gauge("retry_budget_tokens", "Remaining retry tokens.", budgets, "stage")
        suspects = [(stage.name, len(stage.suspects)) for stage in stages]
        says = "Inputs on which two connections broke within a minute; they get one attempt."
        yield _gauge("suspect_requests", says, suspects, "stage")
        yield _gauge("tasks", "Tasks on the event loop.", [(len(asyncio.all_tasks()),)])

    def _door(self) -> Iterator[Metric]:
        door = self.pipeline.admission
        yield _gauge("in_flight", "Requests being answered.", [(door.in_flight,)])
        yield _gauge("queued", "Requests waiting for admission.", [(door.queued,)])
        yield _gauge("limit", "Limit on requests in flight.", [(door.limit.limit,)])
        turned = [(reason, door.turned_away[reason]) for reason in Turned]
        yield _counter("shed", "Requests rejected by admission, by reason.", turned, "outcome")

    def _cache(self) -> Iterator[Metric]:
        cache = self.pipeline.executor.cache
        if cache is None:
            return
        results = [(result, cache.results[result]) for result in CacheResult]
        yield _counter("cache_requests", "Requests by result of the feature cache.", results, "outcome")
        yield _gauge("cache_bytes", "Bytes of features in the local cache.", [(cache.store.bytes_held,)])

    def _releases(self) -> Iterator[Metric]:
        rollout, comparer, now_s = self.pipeline.rollout, self.pipeline.comparer, time.monotonic()
        of = rollout.releases().items()
        requests = [(name, record.outcomes.counts(now_s).calls) for name, record in of]
        yield _gauge("release_requests", "Requests of a release within the window.", requests, "release")
        errors = [(name, record.outcomes.counts(now_s).failed_share) for name, record in of]
        yield _gauge("release_error_share", "Share of those that failed.", errors, "release")
        agreement = [(name, record.agreement(now_s)) for name, record in of]
        yield _gauge("release_agreement", "Share of comparisons with the same first class.", agreement, "release")
        drift = [(name, record.drift(now_s)) for name, record in of]
        yield _gauge("release_drift", "Mean difference of the first class's confidence.", drift, "release")
        shares = [(*of_part, percent) for of_part, percent in rollout.shares().items()]
        yield _gauge("release_share", "Percent of the requests that a release gets.", shares, "release", "part")
        ends = [(outcome, comparer.ends[outcome]) for outcome in ENDS]
        yield _counter("comparisons", "Comparisons in the background, by outcome.", ends, "outcome")
        yield _counter("rollbacks", "Trials that ended automatically.", [(rollout.rollbacks,)])

    def _replicas(self) -> Iterator[Metric]:
        labels = ("stage", "replica")
        all_ = [(stage, replica) for stage in self.pipeline.stages for replica in stage.replicas.replicas]
        ready = [(stage.name, each.url, each in stage.replicas.ready) for stage, each in all_]
        yield _gauge("replica_ready", "Whether a replica is ready.", ready, *labels)
        in_flight = [(stage.name, each.url, each.in_flight) for stage, each in all_]
        yield _gauge("replica_in_flight", "Calls that a replica is answering.", in_flight, *labels)
        missed = [(stage.name, each.url, each.missed_in_all) for stage, each in all_]
        yield _counter("replica_missed", "Probes and calls that could not reach a replica.", missed, *labels)
        now = [(stage.name, each.url, each.breaker.state) for stage, each in all_]
        states = [(*labels_of, state, state is current) for *labels_of, current in now for state in BreakerState]
        yield _gauge("breaker_state", "1 for the current state of a breaker.", states, *labels, "state")
        models = [
            (stage.name, each.url, model.name, model.version, model.gives or model.takes or "", 1)
            for stage, each in all_
            for model in each.models.values()
        ]
        says = "Models served by a replica; always 1."
        yield _gauge("model_info", says, models, *labels, "head", "version", "feature_space")


def _metric(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    says: str,
    rows: Iterable[tuple[Any, ...]],
    *labels: str,
) -> Metric:
    """A metric of rows, each the labels' values and then the value; one of None is left out."""
    family = kind(f"splitway_gateway_{name}", says, labels=labels)
    for *of, value in rows:
        if value is not None:
            family.add_metric(of, value)
    return family


_gauge, _counter = partial(_metric, GaugeMetricFamily), partial(_metric, CounterMetricFamily)
