"""Counts that only grow, read now and then, as rates: of the last seconds, and as a line of blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from splitway.schemas.pipeline import PipelineStatus

SPAN_S = 60.0
_RECENT_S = 10.0
_BLOCKS = "▁▂▃▄▅▆▇█"


class Trend:
    """One count over the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, at_s: float, count: int) -> None:
        """Remember what the count was; one that has fallen began again."""
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at_s, count))
        while len(self._seen) > 2 and self._seen[1][0] < at_s - SPAN_S:
            self._seen.popleft()

    @property
    def rate_per_s(self) -> float | None:
        """Over the last ten seconds, or the last two readings if they are further apart; None before there are two."""
        if len(self._seen) < 2:
            return None
        end_s, count = self._seen[-1]
        start_s, before = next((s for s in self._seen if s[0] >= end_s - _RECENT_S), self._seen[-2])
        if start_s == end_s:
            start_s, before = self._seen[-2]
        return (count - before) / (end_s - start_s) if end_s > start_s else None

    def rates(self, cells: int) -> list[float | None]:
        """The last minute in so many equal parts, oldest first; None where nothing was read."""
        if len(self._seen) < 2:
            return [None] * cells
        times, counts = (np.array(column) for column in zip(*self._seen, strict=True))
        edges = np.linspace(times[-1] - SPAN_S, times[-1], cells + 1)
        per_s = np.diff(np.interp(edges, times, counts)) / (SPAN_S / cells)
        return [float(rate) if edge >= times[0] else None for edge, rate in zip(edges[:-1], per_s, strict=True)]


class Trends:
    """The trends of the whole pipeline: its requests, and each replica's calls."""

    def __init__(self) -> None:
        self.requests = Trend()
        self.answered_at_s: float | None = None
        self.replicas: dict[tuple[str, str], Trend] = {}

    def add(self, at_s: float, status: PipelineStatus) -> None:
        """Take a reading; replicas that are gone are forgotten."""
        self.answered_at_s = at_s
        if status.gateway is not None:
            self.requests.add(at_s, sum(status.gateway.requests.values()))
        before, self.replicas = self.replicas, {}
        for stage in status.stages:
            for replica in stage.replicas:
                key = (stage.name, replica.url)
                trend = self.replicas[key] = before.get(key) or Trend()
                trend.add(at_s, sum(replica.attempts.values()))


def spark_line(rates: Sequence[float | None]) -> str:
    """One block per rate, as high as it is beside the highest; a blank where there is none."""
    peak = max((rate for rate in rates if rate is not None), default=0.0)
    top = len(_BLOCKS) - 1
    return "".join(" " if rate is None else _BLOCKS[round(top * rate / peak) if peak else 0] for rate in rates)
