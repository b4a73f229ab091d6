"""How much goes through now: what ended, how it ended and how long it took, in total, in the last seconds, and over the
last five minutes."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from splitway.telemetry.outcome import OURS
from splitway.wire.deadline import Clock

WINDOW_S = 10
STEP_S, VALUES = 5, 60
"""A history has so many values, each of so many seconds."""
_GROWTH = math.log(1.05)
"""Latencies are counted in steps of five percent."""
_SHORTEST_S = 1e-6


@dataclass(slots=True)
class _Ended:
    """What ended within one second, or within one step of the history."""

    at: int
    """Which one, by the clock."""
    ended: int = 0
    failed: int = 0
    latencies: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float, *, failed: bool) -> None:
        self.ended += 1
        self.failed += failed
        if seconds:  # else it was refused before its body was read, and says nothing of how long answers take
            self.latencies[math.ceil(math.log(max(seconds, _SHORTEST_S)) / _GROWTH)] += 1

    def take(self, other: _Ended) -> None:
        self.ended += other.ended
        self.failed += other.failed
        self.latencies.update(other.latencies)

    def quantile_ms(self, share: float) -> float | None:
        """A latency to within five percent; None where there is none."""
        left = math.ceil(share * self.latencies.total())
        for step in sorted(self.latencies):
            left -= self.latencies[step]
            if left <= 0:
                return round(_seconds_of(step) * 1000, 3)
        return None

    @property
    def mean_in_flight(self) -> float:
        """By Little's law, over a step of the history, of what ended in it."""
        return round(sum(n * _seconds_of(step) for step, n in self.latencies.items()) / STEP_S, 3)


def _seconds_of(step: int) -> float:
    return math.exp((step - 0.5) * _GROWTH)


class Flow:
    """Everything of one kind that ends: the gateway's requests, or the calls to one replica."""

    def __init__(self, clock: Clock) -> None:
        self.totals: Counter[str] = Counter()
        """Since the start, by outcome."""
        self.clock = clock
        self.began_s = clock()
        self._seconds: deque[_Ended] = deque()
        self._steps: deque[_Ended] = deque(maxlen=VALUES)

    @property
    def age_s(self) -> float:
        return self.clock() - self.began_s

    def add(self, outcome: str, seconds: float) -> None:
        """Count one that has ended."""
        self.totals[outcome] += 1
        now = int(self.clock())
        if not self._seconds or self._seconds[-1].at != now:
            self._seconds.append(_Ended(now))
            self._age(now)
        self._seconds[-1].add(seconds, failed=outcome in OURS)

    def take(self, other: Flow) -> None:
        """Count all that another has counted."""
        for flow in (self, other):
            flow._age(int(self.clock()))
        self.totals.update(other.totals)
        self._seconds = deque(_summed([*self._seconds, *other._seconds]))
        self._steps = deque(_summed([*self._steps, *other._steps]), maxlen=VALUES)

    def recent(self) -> dict[str, Any]:
        """As `recent_of`."""
        return recent_of([self])

    def history(self, now_s: float) -> dict[str, Any]:
        """As `history_of`."""
        return history_of([self], now_s)

    def whole_seconds(self, now: int) -> Iterator[_Ended]:
        """The last ten that are over."""
        self._age(now)
        return (second for second in self._seconds if second.at < now)

    def steps(self) -> Iterator[_Ended]:
        """What ended in steps of the history; several parts of one step may come."""
        yield from self._steps
        for second in self._seconds:
            yield _Ended(second.at // STEP_S, second.ended, second.failed, second.latencies)

    def _age(self, now: int) -> None:
        """Add seconds that are no longer recent to the history."""
        while self._seconds and self._seconds[0].at < now - WINDOW_S:
            old = self._seconds.popleft()
            if not self._steps or self._steps[-1].at != old.at // STEP_S:
                self._steps.append(_Ended(old.at // STEP_S))
            self._steps[-1].take(old)


class Calls:
    """The calls to one stage, counted by replica."""

    def __init__(self, clock: Clock) -> None:
        self.replicas: dict[str, Flow] = {}
        """By address."""
        self._gone = Flow(clock)
        """The calls to replicas that are there no more."""

    def expect(self, replica: str) -> None:
        """A replica has been found."""
        self.replicas.setdefault(replica, Flow(self._gone.clock))

    def forget(self, replica: str) -> None:
        """A replica is there no more: its calls stay the stage's."""
        if (flow := self.replicas.pop(replica, None)) is not None:
            self._gone.take(flow)

    def add(self, replica: str, outcome: str, seconds: float) -> None:
        """Count a call that has ended; its replica may have gone meanwhile."""
        self.replicas.get(replica, self._gone).add(outcome, seconds)

    @property
    def totals(self) -> Counter[str]:
        return sum((flow.totals for flow in self._all), Counter())

    def recent(self) -> dict[str, Any]:
        """As `recent_of`."""
        return recent_of(self._all)

    def history(self, now_s: float) -> dict[str, Any]:
        """As `history_of`."""
        return history_of(self._all, now_s)

    @property
    def _all(self) -> list[Flow]:
        return [self._gone, *self.replicas.values()]


def recent_of(flows: list[Flow]) -> dict[str, Any]:
    """The last ten whole seconds, or as many as the first of the flows has been there: how many ended, failed by our
    fault, took how long. Latencies are to within five percent."""
    now = int(flows[0].clock())
    window_s = min(float(WINDOW_S), max(1.0, now - flows[0].began_s))
    all_ = _Ended(now)
    for flow in flows:
        for second in flow.whole_seconds(now):
            all_.take(second)
    return {
        "window_s": round(window_s, 3),
        "ended": all_.ended,
        "failed": all_.failed,
        "rate_per_s": round(all_.ended / window_s, 2),
        "p50_ms": all_.quantile_ms(0.5),
        "p99_ms": all_.quantile_ms(0.99),
    }


def history_of(flows: list[Flow], now_s: float) -> dict[str, Any]:
    """The last steps that are over, oldest first: how many ended, failed by our fault, took how long, were under way
    on average. None stands for steps before the first of the flows was there, and for latencies of nothing."""
    last, first = int(now_s) // STEP_S - 1, int(flows[0].began_s) // STEP_S
    found = {step.at: step for step in _summed(part for flow in flows for part in flow.steps())}
    steps = [found.get(at, _Ended(at)) if at >= first else None for at in range(last - VALUES + 1, last + 1)]
    return {
        "ended": [None if step is None else step.ended for step in steps],
        "failed": [None if step is None else step.failed for step in steps],
        "p50_ms": [None if step is None else step.quantile_ms(0.5) for step in steps],
        "p99_ms": [None if step is None else step.quantile_ms(0.99) for step in steps],
        "in_flight": [None if step is None else step.mean_in_flight for step in steps],
    }


def last_step_ended(now_s: float) -> str:
    """When the last step of a history ended, in UTC, as ISO 8601 to the second."""
    ago_s = now_s - int(now_s) // STEP_S * STEP_S
    return utc(time.time() - ago_s, "seconds")


def utc(at_s: float, timespec: str = "milliseconds") -> str:
    """A time in seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _summed(parts: Iterable[_Ended]) -> list[_Ended]:
    """The parts of each second or step together, in order of time."""
    by_time: dict[int, _Ended] = {}
    for part in parts:
        by_time.setdefault(part.at, _Ended(part.at)).take(part)
    return [by_time[at] for at in sorted(by_time)]
