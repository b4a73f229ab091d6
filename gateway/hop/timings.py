"""Where a hop's time went, by the stage's own account and the gateway's clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_ENTRY = re.compile(r"(?:^|,)\s*(queue|decode|compute);dur=([^,]*)")


class HopTimings(NamedTuple):
    """Where one hop's time went, in seconds. `network` is all that is none of the others: on the wire, and on the way
    between it and the engine."""

    queue: float
    decode: float
    compute: float
    network: float
    total: float

    def in_ms(self) -> dict[str, float]:
        """The same in milliseconds, to a thousandth."""
        return {
            "queue": round(self.queue * 1000, 3),
            "decode": round(self.decode * 1000, 3),
            "compute": round(self.compute * 1000, 3),
            "network": round(self.network * 1000, 3),
            "total": round(self.total * 1000, 3),
        }

    @classmethod
    def of_cache(cls, seconds: float) -> HopTimings:
        """A turn that was served from the gateway's own cache: all of it is time in the queue for that."""
        return cls(seconds, 0.0, 0.0, 0.0, seconds)


def read_timings(server_timing: str, total_s: float) -> HopTimings:
    """Read a stage's Server-Timing; what is missing, malformed or longer than the whole hop counts as time on the
    network."""
    parts: dict[str, float] = {}
    for name, duration in _ENTRY.findall(server_timing):
        try:
            seconds = float(duration) / 1000
        except ValueError:
            continue
        if 0 <= seconds <= total_s:  # neither NaN nor infinite: it is counted, and shown as JSON
            parts[name] = seconds
    said = parts.get
    queue, decode, compute = said("queue", 0.0), said("decode", 0.0), said("compute", 0.0)
    return HopTimings(queue, decode, compute, max(0.0, total_s - queue - decode - compute), total_s)


def spent(hops: Sequence[HopTimings]) -> tuple[float, float]:
    """Return how long a request waited and how long it was worked on, over all hops, in seconds."""
    worked_s = sum(hop.decode + hop.compute for hop in hops)
    return sum(hop.total for hop in hops) - worked_s, worked_s
