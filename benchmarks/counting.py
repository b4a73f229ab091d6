"""What counting a request costs, with our own counters and with prometheus-client's, at once and by the mailbox:
`python -m benchmarks.counting`.

Counted and timed is what the gateway's metrics do for one request: its end, two turns and two calls. "Cold" is after a
pause in which other code ran over the processor's caches, as between two requests; "warm" is one request right after
another. Both sides of each pair take turns, so that what else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import inspect
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any
from unittest.mock import patch

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram

from splitway.gateway.hop.events import AttemptEnded, Event, HopEnded
from splitway.gateway.observe import metrics
from splitway.telemetry.families import SECONDS, Families
from splitway.telemetry.outcome import OK
from splitway.telemetry.watch import Mailbox, RequestEnded

STAGES = ("feature_extractor", "classifier")
ROUTE, REPLICA = "/v1/classify", "http://127.0.0.1:1"
_ROUNDS = 400
_TOGETHER = 20
_OTHER_CALLS = 20
_NOISE = np.arange(2 << 20)
Work = Callable[[], None]


class _Children(dict[tuple[str, ...], Any]):
    """A metric of prometheus-client's, each child looked up once."""

    def __init__(self, metric: Any, labels: tuple[str, ...]) -> None:
        super().__init__()
        self._metric, self._labels = metric, labels

    def __missing__(self, labels: tuple[str, ...]) -> Any:
        child = self[labels] = self._metric.labels(*labels) if self._labels else self._metric
        return child

    def begin(self, several: Iterable[tuple[str, ...]]) -> None:
        for labels in several:
            self[labels]


class _TheLibrarys(Families):
    """Makes prometheus-client's own counters and histograms."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        super().__init__(registry, prefix)
        self._into = registry

    def counter(self, name: str, says: str, *labels: str) -> Any:
        return _Children(Counter(f"{self._prefix}_{name}", says, labels, registry=self._into), labels)

    def seconds(self, name: str, says: str, *labels: str) -> Any:
        made = Histogram(f"{self._prefix}_{name}", says, labels, buckets=SECONDS, registry=self._into)
        return _Children(made, labels)


class _Case:
    """The gateway's metrics, and the events of one request for them."""

    def __init__(self, families: type[Families]) -> None:
        with patch.object(metrics, "Families", families):
            made = metrics.GatewayMetrics((ROUTE,), STAGES)
        self._ended: metrics.RequestAnswered = RequestEnded(ROUTE, OK, 0.012, "id", "trace", 50_000, 900, None, None)
        self._events: list[Event] = [HopEnded(stage, OK, 0.005, 1) for stage in STAGES]
        self._events += [AttemptEnded(stage, REPLICA, OK, 0.005, False, "", 50_000, 5_000) for stage in STAGES]
        self._read = made.on_event, made.on_request
        self._boxes = Mailbox[Event]([made.on_event]), Mailbox[metrics.RequestAnswered]([made.on_request])

    def at_once(self) -> None:
        on_event, on_request = self._read
        for event in self._events:
            on_event(event)
        on_request(self._ended)

    def put(self) -> None:
        events, requests = self._boxes
        for event in self._events:
            events.put(event)
        requests.put(self._ended)

    def settle(self) -> None:
        for box in self._boxes:
            box.settle()


def _instructions(work: Work) -> int:
    """The bytecode instructions of one call, the second."""
    counted = 0

    def each(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal counted
        counted += event == "opcode"
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return each

    work()
    sys.settrace(each)
    try:
        work()
    finally:
        sys.settrace(None)
    return counted


def _microseconds(work: Work, before: Work) -> float:
    before()
    began_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began_ns) / 1000


def _cold() -> None:
    """Run other code and other memory over the processor's caches."""
    _NOISE.sum()
    for _ in range(_OTHER_CALLS):
        inspect.cleandoc("what else Python does between two requests")


def _filled(case: _Case) -> Work:
    def fill() -> None:
        case.settle()
        for _ in range(_TOGETHER):
            case.put()
        _cold()

    return fill


def _timed(ours: _Case, theirs: _Case) -> dict[str, list[float]]:
    """Microseconds for one request, of each round."""
    works: dict[str, tuple[Work, Work, int]] = {}
    for name, case in (("our own", ours), ("prometheus-client's", theirs)):
        works[f"{name}, at once, warm"] = (case.at_once, case.at_once, 1)
        works[f"{name}, at once, cold"] = (case.at_once, _cold, 1)
        works[f"{name}, by the mailbox, later, {_TOGETHER} together"] = (case.settle, _filled(case), _TOGETHER)
    works["into the mailbox, warm"] = (ours.put, ours.put, 1)
    works["into the mailbox, cold"] = (ours.put, _cold, 1)
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(_ROUNDS):
        for name, (work, before, requests) in works.items():
            taken[name].append(_microseconds(work, before) / requests)
        ours.settle()
    return taken


async def _measure() -> None:
    ours, theirs = _Case(Families), _Case(_TheLibrarys)
    counted = {"our own": ours.at_once, "prometheus-client's": theirs.at_once, "into the mailbox": ours.put}
    for name, work in counted.items():
        print(f"{_instructions(work):6} instructions  {name}")
    for name, each in _timed(ours, theirs).items():
        print(f"{statistics.median(each):8.1f} us         {name}")


if __name__ == "__main__":
    asyncio.run(_measure())
