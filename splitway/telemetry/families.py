"""Counters and histograms for one thread: prometheus-client's families, counted without its locks.

Everything that counts runs on the event loop, as the reading does; the library's own children lock for each step, which
is most of what they cost. The library renders the values as usual.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets of every histogram of seconds, closest around the objective of 0.1 s; those of gateway and stages can be laid
side by side."""
Labels = tuple[str, ...]


class Count:
    """One counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        self.value += amount

    def read(self) -> tuple[float]:
        return (self.value,)


class Distribution:
    """One histogram. The bounds are the buckets' upper ones, ascending, without infinity."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, amount: float) -> None:
        self._sum += amount
        self._counts[bisect_left(self._bounds, amount)] += 1

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """The cumulative buckets by their bounds, as the library wants them, and the sum."""
        buckets, total = [], 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            buckets.append((floatToGoString(bound), float(total)))  # type: ignore[no-untyped-call]
        return buckets, self._sum


Child = TypeVar("Child", bound=Count | Distribution)


class Family(dict[Labels, Child]):
    """A metric's children by their labels' values; one that is asked for is there.

    Args:
        make: a child that has counted nothing.
        empty: the library's metric without any.
    """

    def __init__(self, make: Callable[[], Child], empty: Callable[[], Any]) -> None:
        super().__init__()
        self._make = make
        self._empty = empty

    def __missing__(self, labels: Labels) -> Child:
        child = self[labels] = self._make()
        return child

    def begin(self, several: Iterable[Labels]) -> None:
        """Let these be there, with 0, before anything happens: a rate needs a value to begin with."""
        for labels in several:
            self[labels]

    def drop(self, first: Labels) -> None:
        """Forget the children whose labels begin so."""
        for labels in [labels for labels in self if labels[: len(first)] == first]:
            del self[labels]

    def read(self) -> Iterator[Metric]:
        """What has been counted, for the library."""
        metric = self._empty()
        for labels, child in self.items():
            metric.add_metric(labels, *child.read())
        yield metric


class Readings(Collector):
    """Lets a registry find what is read whenever metrics are, so that nothing is kept twice."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    describe = collect
    """So that the registry knows the names, and takes each once."""


class Families:
    """Makes the metrics of one process, whose names begin with one prefix."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        self._registry = registry
        self._prefix = prefix

    def counter(self, name: str, says: str, *labels: str) -> Family[Count]:
        name = f"{self._prefix}_{name.removesuffix('_total')}"
        return self._family(Count, partial(CounterMetricFamily, name, says, labels=labels))

    def gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"{self._prefix}_{name}", says, labels, registry=self._registry)

    def seconds(self, name: str, says: str, *labels: str) -> Family[Distribution]:
        return self.histogram(name, says, SECONDS, *labels)

    def histogram(self, name: str, says: str, bounds: Sequence[float], *labels: str) -> Family[Distribution]:
        empty = partial(HistogramMetricFamily, f"{self._prefix}_{name}", says, labels=labels)
        return self._family(partial(Distribution, bounds), empty)

    def _family(self, make: Callable[[], Child], empty: Callable[[], Any]) -> Family[Child]:
        family = Family(make, empty)
        self._registry.register(Readings(family.read))
        return family
