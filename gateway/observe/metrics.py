"""What the gateway says of its work: Prometheus metrics, one registry per app, and what a line in the log holds."""

from __future__ import annotations

import time
from typing import Any

from splitway.errors import DeadlineExceeded, NotFound, RateLimited
from splitway.gateway.flow.request import Result
from splitway.gateway.hop.events import BreakerMoved, Event, HopEnded
from splitway.gateway.hop.turn import HopTimings
from splitway.gateway.resilience.breaker import BreakerState
from splitway.names import GATEWAY
from splitway.telemetry.families import Families
from splitway.telemetry.metrics import new_registry
from splitway.telemetry.outcome import OK, OUTCOMES
from splitway.telemetry.watch import RequestEnded

RequestAnswered = RequestEnded[Result]
"""A request to the gateway ended; its facts are the answer, where there is one."""
_KEPT_S = 300.0
"""How long the counts of a replica that is gone can still be read."""


class GatewayMetrics:
    """Counts requests to these routes, hops to these stages, and calls to replicas."""

    def __init__(self, routes: tuple[str, ...] = (), stages: tuple[str, ...] = ()) -> None:
        self.registry = new_registry(GATEWAY)
        make = Families(self.registry, "splitway_gateway")
        self._requests = make.counter("requests_total", "Requests by outcome.", "route", "outcome")
        self._duration = make.seconds("duration_seconds", "Time to an answer.", "route")
        self._composition = make.seconds(
            "composition_seconds", "Time of an answer outside of the stages' work and queues.", "route"
        )
        self._received = make.counter("received_bytes_total", "Bytes of the requests' bodies.", "route")
        self._sent = make.counter("sent_bytes_total", "Bytes of the answers' bodies.", "route")
        self._waits = make.seconds("admission_wait_seconds", "Time that a request waited for admission.")
        self._hops = make.seconds("hop_duration_seconds", "Time of a stage call, with all its attempts.", "stage")
        self._heads = make.counter("head_requests_total", "Heads of answered requests, by outcome.", "head", "outcome")
        self._attempts = make.counter("attempts_total", "Calls to replicas, by outcome.", "stage", "replica", "outcome")
        self._attempt_duration = make.seconds("attempt_duration_seconds", "Time of a call.", "stage", "replica")
        self._stage_sent = make.counter("stage_sent_bytes_total", "Bytes of the calls' bodies.", "stage")
        self._stage_received = make.counter("stage_received_bytes_total", "Bytes of the replies' bodies.", "stage")
        self._retries = make.counter(
            "retries_total",
            "Retries, by the outcome of the failed attempt.",
            "stage",
            "outcome",
        )
        self._hedges = make.counter("hedges_total", "Hedged calls, by outcome.", "stage", "outcome")
        self._look_ups = make.counter("look_ups_failed_total", "Failed resolutions of a stage's names.", "stage")
        self._misses = make.counter("deadline_misses_total", "Requests past their deadline, by stage.", "stage")
        self._rate_limited = make.counter("rate_limited_total", "Requests over their caller's limits.")
        self._moves = make.counter(
            "breaker_transitions_total", "Changes of a breaker's state.", "stage", "replica", "state"
        )
        self._gone: dict[tuple[str, str], float] = {}
        self._begin(routes, stages)

    def _begin(self, routes: tuple[str, ...], stages: tuple[str, ...]) -> None:
        """Create the series known in advance, with 0."""
        self._requests.begin((route, outcome) for route in routes for outcome in OUTCOMES)
        for family in (self._duration, self._composition, self._received, self._sent):
            family.begin((route,) for route in routes)
        for family in (self._hops, self._stage_sent, self._stage_received, self._look_ups):
            family.begin((stage,) for stage in stages)
        for family in (self._retries, self._hedges):
            family.begin((stage, outcome) for stage in stages for outcome in OUTCOMES)
        self._misses.begin((stage,) for stage in (*stages, GATEWAY))
        for alone in (self._waits, self._rate_limited):
            alone.begin([()])

    def expect(self, stage: str, replica: str) -> None:
        """A replica has been found: what will be counted of it begins with 0."""
        self._gone.pop((stage, replica), None)
        self._clear()
        self._attempts.begin((stage, replica, outcome) for outcome in OUTCOMES)
        self._attempt_duration.begin([(stage, replica)])
        self._moves.begin((stage, replica, state) for state in BreakerState)

    def forget(self, stage: str, replica: str) -> None:
        """A replica is there no more: once its last counts have been read, they are cleared away."""
        self._gone[stage, replica] = time.monotonic()
        self._clear()

    def _clear(self) -> None:
        long_gone = [key for key, gone_s in self._gone.items() if time.monotonic() - gone_s > _KEPT_S]
        for key in long_gone:
            del self._gone[key]
            for family in (self._attempts, self._attempt_duration, self._moves):
                family.drop(key)

    def expect_head(self, head: str) -> None:
        """A head has been found."""
        if (head, OK) not in self._heads:
            self._heads.begin((head, outcome) for outcome in OUTCOMES)

    def on_request(self, ended: RequestAnswered) -> None:
        """Count one request, its hops and its heads."""
        route, answer = (ended.name,), ended.facts
        self._requests[ended.name, ended.outcome].inc()
        self._duration[route].observe(ended.seconds)
        self._received[route].inc(ended.received_bytes)
        if isinstance(ended.error, DeadlineExceeded) and ended.error.stage is None:
            self._misses[GATEWAY,].inc()
        if isinstance(ended.error, RateLimited):
            self._rate_limited[()].inc()
        if answer is None:
            return
        self._sent[route].inc(ended.sent_bytes)
        self._composition[route].observe(max(0.0, ended.seconds - sum(map(_at_the_stage, answer.longest))))
        for head in answer.heads:
            self._head_ended(head, OK)
        for head, error in answer.failures.items():
            if not isinstance(error, NotFound):  # a name that the caller made up
                self._head_ended(head, error.code)

    def _head_ended(self, head: str, outcome: str) -> None:
        self.expect_head(head)
        self._heads[head, outcome].inc()

    def on_event(self, event: Event) -> None:
        """Count what happens between the gateway and its stages."""
        if isinstance(event, BreakerMoved):
            self._moves[event.stage, event.replica, event.state].inc()
            return
        stage = (event.stage,)
        if isinstance(event, HopEnded):
            self._hop_ended(event)
            return
        self._attempts[event.stage, event.replica, event.outcome].inc()
        self._attempt_duration[event.stage, event.replica].observe(event.seconds)
        self._stage_sent[stage].inc(event.sent_bytes)
        self._stage_received[stage].inc(event.received_bytes)
        if event.is_hedge:
            self._hedges[event.stage, event.outcome].inc()
        elif event.because:
            self._retries[event.stage, event.because].inc()

    def _hop_ended(self, event: HopEnded) -> None:
        if event.attempts:
            self._hops[event.stage,].observe(event.seconds)
        if event.outcome == DeadlineExceeded.code:
            self._misses[event.stage,].inc()

    def look_up_failed(self, stage: str) -> None:
        """Count a look-up that failed; what was known goes on being used."""
        self._look_ups[stage,].inc()

    def waited(self, seconds: float) -> None:
        """Count a request's wait at the door."""
        self._waits[()].observe(seconds)


def _at_the_stage(hop: HopTimings) -> float:
    return hop.queue + hop.decode + hop.compute


def _in_ms(hop: HopTimings) -> dict[str, float]:
    return {f"{part}_ms": ms for part, ms in hop.in_ms().items()}


def answer_in_log(answer: Result) -> dict[str, Any]:
    """What a request's line in the log says of its answer."""
    stages = {
        name: {**_in_ms(hop.timings), "version": hop.model.version, "attempts": hop.attempts}
        for name, hop in answer.hops.items()
    }
    line: dict[str, Any] = {"stages": stages, "feature_space": answer.feature_space}
    if answer.release is not None:
        line["release"] = answer.release
    if answer.cache is not None:
        line["cache"] = str(answer.cache)
    failed = {name: error.code for name, error in answer.failures.items() if not isinstance(error, NotFound)}
    if failed:
        line["heads_failed"] = failed
    return line
