"""The live view's words: numbers, states and counts as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from splitway.cli.status import Look
from splitway.schemas.pipeline import PipelineStatus
from splitway.schemas.pipeline import RecentStatus as Recent
from splitway.schemas.pipeline import ReplicaStatus as Replica
from splitway.schemas.pipeline import StageStatus as Stage
from splitway.telemetry.outcome import OK

NOTHING = "-"
"""Where a number is not known."""
_STATES = {"unknown": "not probed yet", "ready": "ready", "not_ready": "not ready", "unreachable": "unreachable"}
_SENTENCES = {
    "unknown": "has not been probed yet",
    "not_ready": "is not ready",
    "unreachable": "cannot be reached",
}
"""The same where the gateway gives no reason."""
_BREAKERS = {"half_open": "trying again", "forced_open": "held open", "forced_closed": "held closed"}
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def number(value: float | None, digits: int = 1) -> str:
    """A number with so many decimals and a thin mark between thousands, or a dash."""
    return NOTHING if value is None else f"{value:,.{digits}f}".replace(",", " ")


def count(value: int | None) -> str:
    """A whole number, or a dash."""
    return number(value, 0)


def span(seconds: float | None) -> str:
    """A time as its two largest units: 2 h 13 min."""
    if seconds is None:
        return NOTHING
    for (unit, size), (smaller, part) in zip(_UNITS, (*_UNITS[1:], ("s", 1)), strict=True):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} {seconds % size // part:.0f} {smaller}"
    return f"{seconds:.0f} s"


def counts(outcomes: Mapping[str, int]) -> str:
    """Counts by name, answers first, then the most frequent; what never happened is left out."""
    shown = sorted(
        ((name, n) for name, n in outcomes.items() if n), key=lambda each: (each[0] != OK, -each[1], each[0])
    )
    return " · ".join(f"{count(n)} {name}" for name, n in shown) or "none"


def share(recent: Recent) -> str:
    """Failures among what ended lately."""
    if recent.ended is None or recent.failed is None:
        return NOTHING
    if not recent.ended:
        return "none ended"
    if not recent.failed:
        return f"none of {count(recent.ended)} failed"
    return f"{count(recent.failed)} of {count(recent.ended)} failed ({100 * recent.failed / recent.ended:.1f} %)"


def latencies(recent: Recent) -> str:
    """p50 and p99 in milliseconds."""
    return f"{number(recent.p50_ms)} / {number(recent.p99_ms)}"


def address(url: str) -> str:
    """A replica's address without what all of them begin with."""
    return url.removeprefix("http://").removeprefix("https://")


def state(replica: Replica) -> str:
    """What the gateway last heard of it."""
    return _STATES.get(replica.state, replica.state.replace("_", " "))


def breaker(replica: Replica) -> str:
    """The breaker's state, and when an open one tries again."""
    if replica.breaker is None:
        return NOTHING
    if replica.breaker == "open" and replica.breaker_retry_in_s:
        return f"open, {replica.breaker_retry_in_s:.0f} s"
    return _BREAKERS.get(replica.breaker, replica.breaker.replace("_", " "))


def is_shut_out(replica: Replica) -> bool:
    """Whether its breaker keeps calls from it."""
    return replica.breaker in ("open", "half_open", "forced_open")


def readiness(stage: Stage) -> str:
    """How many of its replicas are ready."""
    return f"{stage.ready_replicas} of {len(stage.replicas)} ready"


def spaces(status: PipelineStatus) -> str:
    """The feature spaces of the replicas that say one; how many are of each, where there are several."""
    found = Counter(each.feature_space for stage in status.stages for each in stage.replicas if each.feature_space)
    if len(found) > 1:
        return " · ".join(f"{space} of {number_} replicas" for space, number_ in found.most_common())
    return next(iter(found), NOTHING)


def troubles(status: PipelineStatus) -> Iterable[str]:
    """A sentence for each replica that does not serve."""
    for stage in status.stages:
        if not stage.replicas:
            yield f"{stage.name} has no replica: its address leads nowhere"
        for replica in stage.replicas:
            where = f"{stage.name} {address(replica.url)}"
            if replica.state != "ready":
                reason = replica.reason or _SENTENCES.get(replica.state, state(replica))
                yield reason if address(replica.url) in reason else f"{where} {reason}"
            elif replica.breaker == "forced_open":
                yield f"{where} is ready, but its breaker is held open by SPLITWAY_BREAKERS"
            elif is_shut_out(replica):
                yield f"{where} is ready, but its breaker is {breaker(replica)}: too many calls failed or were slow"


def plain_line(look: Look, rate_per_s: float | None) -> str:
    """Everything in one line, for pipes and logs."""
    clock = look.at.strftime("%H:%M:%S")
    if look.status is None:
        return f"{clock} not ready: {look.trouble}"
    status, gateway, door = look.status, look.status.gateway, look.status.admission
    said = [f"{clock} ready" if status.ready else f"{clock} not ready: {status.reason or 'no reason given'}"]
    if gateway is not None:
        recent = gateway.recent
        lately = recent.rate_per_s if recent.rate_per_s is not None else rate_per_s
        said += [
            counts(gateway.requests).replace(" · ", ", "),
            f"{number(lately)}/s",
            share(recent),
            f"p50/p99 {latencies(recent)} ms",
        ]
    said.append(f"in flight {count(door.in_flight)} of {number(door.limit, 0)}, queued {count(door.queued)}")
    said += [f"{stage.name} {readiness(stage)}" for stage in status.stages]
    said += troubles(status)
    return " | ".join(said)
