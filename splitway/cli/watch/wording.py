"""The words of `splitway top`: numbers, states and counts as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta

from splitway.cli.status import Look
from splitway.schemas.pipeline import PipelineStatus, RecentStatus, ReplicaStatus
from splitway.telemetry.outcome import OK

NOTHING = "-"
"""In place of a number that is not known."""


def number(value: float | None) -> str:
    """A number with a thin mark between thousands, and one decimal unless it is whole by nature; or a dash."""
    written = NOTHING if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return written.replace(",", " ")


def span(seconds: float | None) -> str:
    """A time in hours, minutes and seconds: 2:13:20."""
    return NOTHING if seconds is None else f"{timedelta(seconds=round(min(seconds, 1e10)))}"


def counts(outcomes: Mapping[str, int]) -> str:
    """Counts by name, answers first, then the most frequent; what never happened is left out."""
    shown = sorted((name != OK, -n, name) for name, n in outcomes.items() if n)
    return " · ".join(f"{number(-n)} {name}" for _, n, name in shown) or "none"


def latencies(recent: RecentStatus) -> str:
    """p50 and p99 in milliseconds."""
    return f"{number(recent.p50_ms)} / {number(recent.p99_ms)}"


def address(url: str) -> str:
    """A replica's address without what all of them begin with."""
    return url.removeprefix("http://").removeprefix("https://")


def state(replica: ReplicaStatus) -> str:
    """The last that the gateway heard of a replica, and its breaker unless that is closed."""
    heard = "not probed yet" if replica.state == "unknown" else replica.state.replace("_", " ")
    return f"{heard}, breaker {breaker(replica)}" if replica.breaker not in (None, "closed") else heard


def is_shut_out(replica: ReplicaStatus) -> bool:
    """Whether its breaker keeps calls from it."""
    return replica.breaker in ("open", "half_open", "forced_open")


def breaker(replica: ReplicaStatus) -> str:
    """The breaker's state, and when an open one tries again."""
    named = (replica.breaker or NOTHING).replace("_", " ")
    return f"{named}, {replica.breaker_retry_in_s:.0f} s" if replica.breaker_retry_in_s else named


def said_of_all(status: PipelineStatus) -> dict[str, str]:
    """The facts of the whole pipeline, each by its title."""
    said, gateway, door = {}, status.gateway, status.admission
    if gateway is not None:
        recent = gateway.recent
        said["requests"] = f"{number(sum(gateway.requests.values()))} since start: {counts(gateway.requests)}"
        failed = f"{number(recent.failed)} of {number(recent.ended)} failed, last {recent.window_s or 0:.0f} s"
        said["lately"] = f"{number(recent.rate_per_s)}/s · p50 / p99 {latencies(recent)} ms · {failed}"
    inside = f"{number(door.in_flight)} in flight of {number(door.limit)} · {number(door.queued)} queued"
    said["door"] = f"{inside} · turned away: {counts(door.turned_away)}"
    spaces = Counter(each.feature_space for stage in status.stages for each in stage.replicas if each.feature_space)
    said["features"] = " · ".join(f"{space} of {n} replicas" for space, n in spaces.most_common()) or NOTHING
    return said


def troubles(status: PipelineStatus) -> Iterable[str]:
    """A sentence for each replica that does not serve."""
    for stage in status.stages:
        if not stage.replicas:
            yield f"{stage.name} has no replica: its address leads nowhere"
        for replica in stage.replicas:
            where = f"{stage.name} {address(replica.url)}"
            if replica.state != "ready":
                reason = replica.reason or f"is {state(replica)}"
                yield reason if address(replica.url) in reason else f"{where} {reason}"
            elif is_shut_out(replica):
                why = "set by SPLITWAY_BREAKERS" if replica.breaker == "forced_open" else "too many calls failed"
                yield f"{where} is ready, but its breaker is {breaker(replica)}: {why}"


def readiness(look: Look) -> str:
    """Whether the pipeline is ready, and why not."""
    return "ready" if look.is_ready else f"not ready: {look.status.reason if look.status else look.trouble}"


def plain_line(look: Look) -> str:
    """Everything in one line, for pipes and logs."""
    said = [f"{look.at:%H:%M:%S} {readiness(look)}"]
    if (status := look.status) is not None:
        stages = (f"{stage.name} {stage.ready_replicas} of {len(stage.replicas)} ready" for stage in status.stages)
        said += [*said_of_all(status).values(), *stages, *troubles(status)]
    return " | ".join(said)
