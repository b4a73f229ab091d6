"""What the gateway's parts say of themselves, read whenever metrics are: nothing is kept twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitway.gateway.flow.compare import ENDS
from splitway.gateway.flow.feature_cache import CacheResult
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.resilience.admission import Turned
from splitway.gateway.resilience.breaker import BreakerState


class LiveMetrics(Collector):
    """The door, the retry budgets and every replica, as they are now.

    Args:
        pipeline: whose parts speak.
        on_head: told of the heads that there are, before anything may have been counted of them.
    """

    def __init__(self, pipeline: GatewayPipeline, on_head: Callable[[str], None]) -> None:
        self._pipeline = pipeline
        self._on_head = on_head

    def describe(self) -> list[Metric]:
        """Nothing: what there is to say is known only while the gateway runs."""
        return []

    def collect(self) -> Iterator[Metric]:
        for head in self._pipeline.router.heads(self._pipeline.rollout.current.pins):
            self._on_head(head)
        yield from self._door()
        yield from self._replicas()
        yield from self._cache()
        yield from self._releases()
        budget = GaugeMetricFamily("splitway_gateway_retry_budget_tokens", "Remaining retry tokens.", labels=["stage"])
        suspects = GaugeMetricFamily(
            "splitway_gateway_suspect_requests",
            "Inputs on which two connections broke within a minute; they get one attempt.",
            labels=["stage"],
        )
        for stage in self._pipeline.stages:
            budget.add_metric([stage.name], stage.budget.tokens)
            suspects.add_metric([stage.name], stage.suspects)
        yield from (budget, suspects)
        yield GaugeMetricFamily("splitway_gateway_tasks", "Tasks on the event loop.", len(asyncio.all_tasks()))

    def _door(self) -> Iterator[Metric]:
        door = self._pipeline.admission
        yield GaugeMetricFamily("splitway_gateway_in_flight", "Requests being answered.", door.in_flight)
        yield GaugeMetricFamily("splitway_gateway_queued", "Requests waiting for admission.", door.queued)
        yield GaugeMetricFamily("splitway_gateway_limit", "Limit on requests in flight.", door.limit.limit)
        turned = CounterMetricFamily(
            "splitway_gateway_shed", "Requests rejected by admission, by reason.", labels=["outcome"]
        )
        for reason in Turned:
            turned.add_metric([reason], door.turned_away[reason])
        yield turned

    def _cache(self) -> Iterator[Metric]:
        cache = self._pipeline.cache
        if cache is None:
            return
        results = CounterMetricFamily(
            "splitway_gateway_cache_requests", "Requests by result of the feature cache.", labels=["outcome"]
        )
        for result in CacheResult:
            results.add_metric([result], cache.results[result])
        yield results
        yield GaugeMetricFamily(
            "splitway_gateway_cache_bytes", "Bytes of features in the local cache.", cache.bytes_held
        )

    def _releases(self) -> Iterator[Metric]:
        rollout, comparer, now_s = self._pipeline.rollout, self._pipeline.comparer, time.monotonic()
        labels = ["release"]
        requests = GaugeMetricFamily(
            "splitway_gateway_release_requests", "Requests of a release within the window.", labels=labels
        )
        errors = GaugeMetricFamily("splitway_gateway_release_error_share", "Share of those that failed.", labels=labels)
        agreement = GaugeMetricFamily(
            "splitway_gateway_release_agreement", "Share of comparisons with the same first class.", labels=labels
        )
        drift = GaugeMetricFamily(
            "splitway_gateway_release_drift", "Mean difference of the first class's confidence.", labels=labels
        )
        for name, record in rollout.releases().items():
            requests.add_metric([name], record.requests(now_s))
            errors.add_metric([name], record.error_share(now_s))
            for family, value in ((agreement, record.agreement(now_s)), (drift, record.drift(now_s))):
                if value is not None:
                    family.add_metric([name], value)
        shares = GaugeMetricFamily(
            "splitway_gateway_release_share", "Percent of the requests that a release gets.", labels=["release", "part"]
        )
        for (name, part), percent in rollout.shares().items():
            shares.add_metric([name, part], percent)
        runs = CounterMetricFamily(
            "splitway_gateway_comparisons", "Comparisons in the background, by outcome.", labels=["outcome"]
        )
        for outcome in ENDS:
            runs.add_metric([outcome], comparer.ends[outcome])
        yield from (requests, errors, agreement, drift, shares, runs)
        yield CounterMetricFamily("splitway_gateway_rollbacks", "Trials that ended automatically.", rollout.rollbacks)

    def _replicas(self) -> Iterator[Metric]:
        labels = ["stage", "replica"]
        ready = GaugeMetricFamily("splitway_gateway_replica_ready", "Whether a replica is ready.", labels=labels)
        in_flight = GaugeMetricFamily(
            "splitway_gateway_replica_in_flight", "Calls that a replica is answering.", labels=labels
        )
        breakers = GaugeMetricFamily(
            "splitway_gateway_breaker_state", "1 for the current state of a breaker.", labels=[*labels, "state"]
        )
        info = GaugeMetricFamily(
            "splitway_gateway_model_info",
            "Models served by a replica; always 1.",
            labels=[*labels, "head", "version", "feature_space"],
        )
        missed = CounterMetricFamily(
            "splitway_gateway_replica_missed", "Probes and calls that could not reach a replica.", labels=labels
        )
        for stage in self._pipeline.stages:
            for replica in stage.replicas.replicas:
                own = [stage.name, replica.url]
                ready.add_metric(own, replica in stage.replicas.ready)
                in_flight.add_metric(own, replica.in_flight)
                missed.add_metric(own, replica.missed_in_all)
                now = replica.breaker.state
                for state in BreakerState:
                    breakers.add_metric([*own, state], state is now)
                for model in replica.models.values():
                    info.add_metric([*own, model.name, model.version, model.gives or model.takes or ""], 1)
        yield from (ready, in_flight, missed, breakers, info)
