"""The anatomy of a request: which part of its caller's wait went where; what a split costs, and when it has paid.

All times are in milliseconds, of one client at a time.
"""

from __future__ import annotations

import math
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


@dataclass(frozen=True)
class BreakEven:
    """The means of one run, in milliseconds, and what follows from them.

    `cost` of a request = `served` (the gateway's own total) - `in_process` (the same two bundles as one function, on
    the same pictures, in turn). The client's side is in neither: with any server it would be the same.

    Heads: n + 1 whole models take (n + 1) * `in_process`; one extractor and n + 1 heads, asked one after another, take
    `served` + n * `head`. The split has paid for itself when n * (`in_process` - `head`) > `cost`.

    Cache: a picture that is in the feature cache takes `served` - `extractor`; the cache's own tenths of a millisecond
    are left out. With a share c of such pictures it has paid for itself when c * `extractor` > `cost`, against a
    process that keeps nothing.

    Args:
        served, in_process, extractor, head: means; the last two are whole hops, with what the network takes.
        uncertainty: half the width of the interval that holds the cost with 95 % (twice its standard error).
    """

    requests: int
    served: float
    in_process: float
    extractor: float
    head: float
    uncertainty: float

    @classmethod
    def of(cls, anatomy: Anatomy, rounds: Sequence[tuple[float, float]]) -> BreakEven:
        """Reckon from an anatomy and at least two rounds, each the mean of `served` and of `in_process` in it."""
        costs = [served - in_process for served, in_process in rounds]
        uncertainty = 2 * statistics.stdev(costs) / math.sqrt(len(costs))
        in_process = statistics.fmean(in_process for _, in_process in rounds)
        extractor, head = anatomy.stages[0].whole.mean_ms, anatomy.stages[-1].whole.mean_ms
        return cls(anatomy.requests, anatomy.served.mean_ms, in_process, extractor, head, uncertainty)

    @property
    def cost(self) -> float:
        """Milliseconds that the split adds to a request; below 0 it saves them."""
        return self.served - self.in_process

    @property
    def is_measurable(self) -> bool:
        """Whether the cost is more than chance."""
        return self.cost > self.uncertainty

    @property
    def further_heads(self) -> int | None:
        """The fewest heads beside the first that pay for the split; None if a head costs as much as a model."""
        gain = self.in_process - self.head
        return max(1, math.floor(self.cost / gain) + 1) if gain > 0 else None

    @property
    def repeats(self) -> float | None:
        """The share of pictures, 0 to 1, beyond which the cache pays for the split; None if not even all of them do."""
        return max(0.0, self.cost / self.extractor) if self.cost < self.extractor else None

    def figures(self) -> dict[str, float | None]:
        """The same by name, for programs."""
        return {
            "served_ms": self.served,
            "in_process_ms": self.in_process,
            "cost_ms": self.cost,
            "uncertainty_ms": self.uncertainty,
            "extractor_ms": self.extractor,
            "head_ms": self.head,
            "further_heads": self.further_heads,
            "repeats_share": self.repeats,
        }

    def sentences(self) -> list[str]:
        """Say it in words: what the split costs, and what it takes to pay for it."""
        return [self._costs(), self._buys() if self.is_measurable else self._gains()]

    def _costs(self) -> str:
        compared = f"{self.served:.1f} ms in the gateway against {self.in_process:.1f} ms in one process"
        if not self.is_measurable:
            found = f"{self.cost:z.1f} ± {self.uncertainty:.1f} ms"
            return f"The split has no measurable cost in {self.requests} requests ({found}): {compared}."
        return f"The split costs {self.cost:.1f} ± {self.uncertainty:.1f} ms a request here: {compared}."

    def _buys(self) -> str:
        ways = []
        if self.further_heads is not None:
            shared = f"{self.further_heads} further heads share" if self.further_heads > 1 else "a second head shares"
            ways.append(f"{shared} the features ({self._head_saves()})")
        if self.repeats is not None:
            ways.append(
                f"more than {self.repeats * 100:.0f} % of the pictures come again (the feature cache saves "
                f"{self.extractor:.1f} ms on each)"
            )
        if not ways:
            return (
                f"In time alone it does not pay here: a further head costs {self.head:.1f} ms, a whole model "
                f"{self.in_process:.1f} ms, and the feature cache saves {self.extractor:.1f} ms on a picture that comes"
                " again. The parts can still be scaled, owned and replaced separately."
            )
        return f"It has paid for itself when {', or when '.join(ways)}."

    def _gains(self) -> str:
        cache = f"every picture that comes again (the feature cache saves {self.extractor:.1f} ms on each)"
        if self.further_heads is None:
            return f"It saves time on {cache}; a further head costs more than a whole model."
        return f"It saves time on every further head on the same features ({self._head_saves()}) and {cache}."

    def _head_saves(self) -> str:
        return f"each further head costs {self.head:.1f} ms instead of a whole model's {self.in_process:.1f} ms"
