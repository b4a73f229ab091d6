"""The anatomy of a request: which part of its caller's wait went where."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splitway.errors import SetupError
from splitway.names import GATEWAY

WHOLE = "total"
OTHER = "other"
CLIENT = "client"


@dataclass(frozen=True)
class Reading:
    """What one request took, in milliseconds.

    Args:
        wait_ms: by the client's clock, from the request to the whole answer.
        served_ms: by the gateway's clock.
        places: the parts of each stage, of the gateway and of the client; together they are the wait. A stage's `other`
            is what its parts leave of its total: rounding, with a gateway of this version. The gateway's is what the
            stages leave of its own total. The client's is what that leaves of the wait: its HTTP client, the
            connection, and the gateway's server before and after its clock runs.
    """

    wait_ms: float
    served_ms: float
    places: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, wait_ms: float, timings_ms: Mapping[str, Any]) -> Reading:
        """Read the `timings_ms` of an answer. Raises SetupError if they do not say where the time went."""
        try:
            hops = {name: dict(hop) for name, hop in timings_ms.items() if name != WHOLE}
            totals = {name: float(hop.pop(WHOLE)) for name, hop in hops.items()}
            places = {name: {**hop, OTHER: totals[name] - sum(hop.values())} for name, hop in hops.items()}
            served_ms = float(timings_ms[WHOLE])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SetupError("the gateway's answers do not report their timings: timings_ms is damaged") from error
        if not places:
            raise SetupError("the gateway's answers do not report their timings: timings_ms names no stage")
        places |= {GATEWAY: {OTHER: served_ms - sum(totals.values())}, CLIENT: {OTHER: wait_ms - served_ms}}
        return cls(wait_ms, served_ms, places)


@dataclass(frozen=True)
class Spread:
    """Many measurements of one thing, in milliseconds. Means of parts add up; medians and p99 do not."""

    mean_ms: float
    median_ms: float
    p99_ms: float

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> Spread:
        """Sum up one or more measurements."""
        p99_ms = statistics.quantiles(values_ms, n=100, method="inclusive")[98] if len(values_ms) > 1 else values_ms[0]
        return cls(statistics.fmean(values_ms), statistics.median(values_ms), p99_ms)


@dataclass(frozen=True)
class PlaceTimes:
    """A stage, the gateway or the client: what was spent there in all, and in which of its parts."""

    name: str
    whole: Spread
    parts: Mapping[str, Spread]


@dataclass(frozen=True)
class Anatomy:
    """The wait, the gateway's part of it, and the places it was spent in: the stages in order, gateway, client."""

    requests: int
    wait: Spread
    served: Spread
    places: tuple[PlaceTimes, ...]

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Anatomy:
        """Sum up one or more requests."""
        names = dict.fromkeys(name for reading in readings for name in reading.places)
        return cls(
            len(readings),
            Spread.of([reading.wait_ms for reading in readings]),
            Spread.of([reading.served_ms for reading in readings]),
            tuple(_place(name, [reading.places.get(name, {}) for reading in readings]) for name in names),
        )

    @property
    def stages(self) -> tuple[PlaceTimes, ...]:
        """The places of the chain, first to last."""
        return tuple(place for place in self.places if place.name not in {GATEWAY, CLIENT})

    def share(self, spread: Spread) -> float:
        """Return what part of the mean wait this is."""
        return spread.mean_ms / self.wait.mean_ms


def _place(name: str, each: Sequence[Mapping[str, float]]) -> PlaceTimes:
    names = dict.fromkeys(part for parts in each for part in parts)
    whole = Spread.of([sum(parts.values()) for parts in each])
    return PlaceTimes(name, whole, {part: Spread.of([parts.get(part, 0.0) for parts in each]) for part in names})
