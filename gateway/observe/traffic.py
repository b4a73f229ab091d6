"""How much goes through now: what ended, how it ended and how long it took, in total, in the last seconds, and over the
last five minutes."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

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
    """What ended within one second, or within several."""

    at: int
    """Which second, by the clock."""
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
    def work_s(self) -> float:
        """How long all of it took together, one after the other."""
        return sum(count * _seconds_of(step) for step, count in self.latencies.items())


def _seconds_of(step: int) -> float:
    return math.exp((step - 0.5) * _GROWTH)


class _Step(NamedTuple):
    """The figures of a step of a history that is over."""

    ended: int | None
    failed: int | None
    p50_ms: float | None
    p99_ms: float | None
    in_flight: float | None
    """The mean, by Little's law."""

    @classmethod
    def of(cls, seconds: Iterable[_Ended]) -> _Step:
        all_ = _Ended(0)
        for second in seconds:
            all_.take(second)
        quantiles = all_.quantile_ms(0.5), all_.quantile_ms(0.99)
        return cls(all_.ended, all_.failed, *quantiles, round(all_.work_s / STEP_S, 3))


_UNKNOWN, _NOTHING = _Step(None, None, None, None, None), _Step(0, 0, None, None, 0.0)


class _History:
    """The last steps that are over, as figures. What is counted is kept by second for a little longer than a step."""

    def __init__(self, began_s: float) -> None:
        self._first = self._open = int(began_s) // STEP_S
        self._closed: deque[tuple[int, _Step]] = deque(maxlen=VALUES)

    def close(self, now: int, seconds: Iterable[_Ended]) -> None:
        """Keep the figures of the steps that are over by now, out of seconds that have not been forgotten yet."""
        step = now // STEP_S
        if step <= self._open:
            return
        over = [second for second in seconds if self._open <= second.at // STEP_S < step]
        for at in sorted({second.at // STEP_S for second in over}):
            self._closed.append((at, _Step.of(second for second in over if second.at // STEP_S == at)))
        self._open = step

    def describe(self, now: int) -> dict[str, Any]:
        """As lists of one value a step, the oldest first. None stands for steps before the first, and for latencies of
        nothing."""
        closed, last = dict(self._closed), now // STEP_S
        steps = [closed.get(at, _NOTHING) if at >= self._first else _UNKNOWN for at in range(last - VALUES, last)]
        return {name: list(values) for name, values in zip(_Step._fields, zip(*steps, strict=True), strict=True)}


class Flow:
    """Everything of one kind that ends: the gateway's requests, or the calls to one replica.

    Args:
        before_forgetting: told the second by the clock before what is older than ten seconds is forgotten.
    """

    def __init__(self, clock: Clock, before_forgetting: Callable[[int], None] = lambda _: None) -> None:
        self.totals: Counter[str] = Counter()
        """Since the start, by outcome."""
        self.clock = clock
        self.began_s = clock()
        self._before_forgetting = before_forgetting
        self.seconds: deque[_Ended] = deque()
        """The last ten that something ended in, and others until something ends or is asked for."""
        self._history = _History(self.began_s)

    @property
    def age_s(self) -> float:
        return self.clock() - self.began_s

    def add(self, outcome: str, seconds: float) -> None:
        """Count one that has ended."""
        self.totals[outcome] += 1
        now = int(self.clock())
        if not self.seconds or self.seconds[-1].at != now:
            self.seconds.append(_Ended(now))
            self._forget(now)
        self.seconds[-1].add(seconds, failed=outcome in OURS)

    def take(self, other: Flow) -> None:
        """Count what another has counted, but for its history."""
        self.totals.update(other.totals)
        by_time = {second.at: second for second in self.seconds}
        for second in other.seconds:
            by_time.setdefault(second.at, _Ended(second.at)).take(second)
        self.seconds = deque(by_time[at] for at in sorted(by_time))
        self._forget(int(self.clock()))

    def recent(self) -> dict[str, Any]:
        """As `recent_of`."""
        return recent_of([self])

    def history(self, now_s: float) -> dict[str, Any]:
        """The steps that are over: how many ended, failed by our fault, took how long, were under way on average."""
        self._forget(int(now_s))
        return self._history.describe(int(now_s))

    def whole_seconds(self, now: int) -> Iterator[_Ended]:
        """The last ten that are over."""
        self._forget(now)
        return (second for second in self.seconds if second.at < now)

    def _forget(self, now: int) -> None:
        self._before_forgetting(now)
        self._history.close(now, self.seconds)
        while self.seconds and self.seconds[0].at < now - WINDOW_S:
            self.seconds.popleft()


class Calls:
    """The calls to one stage, counted by replica."""

    def __init__(self, clock: Clock) -> None:
        self.replicas: dict[str, Flow] = {}
        """By address."""
        self._gone = Flow(clock, self._close)
        """The calls to replicas that are there no more."""
        self._history = _History(clock())

    def expect(self, replica: str) -> None:
        """A replica has been found."""
        self.replicas.setdefault(replica, Flow(self._gone.clock, self._close))

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
        """As that of a flow."""
        self._close(int(now_s))
        return self._history.describe(int(now_s))

    def _close(self, now: int) -> None:
        self._history.close(now, (second for flow in self._all for second in flow.seconds))

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


def last_step_ended(now_s: float) -> str:
    """When the last step of a history ended, in UTC, as ISO 8601 to the second."""
    ago_s = now_s - int(now_s) // STEP_S * STEP_S
    return utc(time.time() - ago_s, "seconds")


def utc(at_s: float, timespec: str = "milliseconds") -> str:
    """A time in seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
