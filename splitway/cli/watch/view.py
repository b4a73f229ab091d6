"""What `splitway top` shows: the gateway, troubles, the stages and their replicas, those in trouble first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from splitway.cli.status import Look, failures
from splitway.schemas.pipeline import PipelineStatus, RecentStatus, ReplicaStatus, StageStatus
from splitway.telemetry.outcome import OK

_NOTHING = "-"  # in place of what is not known
_GOOD, _CARE, _BAD = ("✓", "green"), ("!", "yellow"), ("✗", "red")
"""Marks and their colours: the mark alone says it too."""
_WORDS = ("stage and replica", "state", "version", "feature space")
_NUMBERS = ("calls", "calls/s", "failed", "p50 / p99 ms", "in flight")
_FIRST_TO_GO = ("feature space", "version", "in flight", "calls", "failed")
"""Columns that are left out one by one until the others fit."""
_MOST_NAMED = 3  # models of one replica have their names in its row; all heads stand above
Row = tuple[Text | str, ...]


def view(look: Look, width: int, before: Look | None = None, hint: str = "") -> Group:
    """Draw a look on so many columns, with calls per second since the one `before`, and a hint on the frame."""
    if (status := look.status) is None:
        return Group(_gateway(look, hint))
    every = [(stage.name, replica) for stage in status.stages for replica in stage.replicas]
    every.sort(key=lambda each: _sign(each[1]) is _GOOD)
    calls, passed_s = _calls(look) - _calls(before), look.at_s - before.at_s if before else 0.0
    rates = [calls[stage, each.url] / passed_s if passed_s else None for stage, each in every]
    current = _current_space(status)
    replicas = (_replica_row(*of, rate, current) for of, rate in zip(every, rates, strict=True))
    rows = [*map(_stage_row, status.stages), *replicas]
    return Group(_gateway(look, hint), *[_signed(_BAD, said) for said in troubles(status)], "", _table(rows, width))


def plain_line(look: Look) -> str:
    """Everything in one line, for pipes and logs."""
    said = [f"{look.at:%H:%M:%S} {_readiness(look)}"]
    if (status := look.status) is not None:
        stages = (f"{stage.name} {stage.ready_replicas} of {len(stage.replicas)} ready" for stage in status.stages)
        said += [*_said_of_all(status).values(), *stages, *troubles(status)]
    return " | ".join(said)


def _gateway(look: Look, hint: str) -> Panel:
    told = look.status.gateway if look.status else None
    rows = Table.grid(Column(style="dim", no_wrap=True), padding=(0, 2))
    rows.add_row("state", _signed(_GOOD if look.is_ready else _BAD, _readiness(look)))
    for name, words in _said_of_all(look.status).items() if look.status else ():
        rows.add_row(name, words)
    return Panel(
        rows,
        title=f"Splitway {told.version if told else _NOTHING} {look.url}",
        title_align="left",
        subtitle=f"up for {span(told.uptime_s if told else None)} · {look.at:%H:%M:%S}{hint}",
        subtitle_align="right",
        border_style="green" if look.is_ready else "red",
    )


def _readiness(look: Look) -> str:
    return "ready" if look.is_ready else f"not ready: {look.status.reason if look.status else look.trouble}"


def _said_of_all(status: PipelineStatus) -> dict[str, str]:
    """The facts of the whole pipeline, each by its title."""
    said, gateway, door = {}, status.gateway, status.admission
    if gateway is not None:
        recent = gateway.recent
        said["requests"] = f"{number(sum(gateway.requests.values()))} since start: {counts(gateway.requests)}"
        failed = f"{number(recent.failed)} of {number(recent.ended)} failed, last {recent.window_s or 0:.0f} s"
        said["lately"] = f"{number(recent.rate_per_s)}/s · p50 / p99 {_latencies(recent)} ms · {failed}"
    said["load"] = f"{number(door.in_flight)} in flight of {number(door.limit)} · {number(door.queued)} queued"
    said["load"] += f" · turned away: {counts(door.turned_away)}"
    spaces = Counter(each.feature_space for stage in status.stages for each in stage.replicas if each.feature_space)
    said["heads"] = " · ".join(f"{head.name} {head.version or _NOTHING}" for head in status.heads)
    parts = ((name, each) for name, each in status.releases.releases.items() if each.part is not None)
    said["releases"] = " · ".join(f"{name} {each.part} {each.share or 0:g} %" for name, each in parts)
    offered = " · ".join(f"{space} of {n} replicas" for space, n in spaces.most_common()) or _NOTHING
    current = _current_space(status)
    said["features"] = offered if current is None else f"{current} of {status.releases.current}"
    return {title: words for title, words in said.items() if words}


def _current_space(status: PipelineStatus) -> str | None:
    """The feature space of the current release; None where there is none."""
    current = status.releases.releases.get(status.releases.current or "")
    return None if current is None else current.feature_space or None


def troubles(status: PipelineStatus) -> Iterable[str]:
    """A sentence for each replica that does not serve, and for each head that cannot be reached while others can."""
    for stage in status.stages:
        if not stage.replicas:
            yield f"{stage.name} has no replica: its address leads nowhere"
        for replica in stage.replicas:
            where = f"{stage.name} {address(replica.url)}"
            if replica.state != "ready":
                reason = replica.reason or f"is {_state(replica)}"
                yield reason if address(replica.url) in reason else f"{where} {reason}"
            elif _is_shut_out(replica):
                why = "set by SPLITWAY_BREAKERS" if replica.breaker == "forced_open" else "too many calls failed"
                yield f"{where} is ready, but its breaker is {_breaker(replica)}: {why}"
    yield from (f"head {head.name}: {head.reason}" for head in status.heads if status.ready and head.reason)


def _calls(look: Look | None) -> Counter[tuple[str, str]]:
    """To each replica since the gateway started, by stage and address."""
    stages = look.status.stages if look and look.status else ()
    return Counter({(stage.name, each.url): sum(each.attempts.values()) for stage in stages for each in stage.replicas})


def _replica_row(stage: str, replica: ReplicaStatus, calls_per_s: float | None, current: str | None) -> Row:
    spaces = {space for model in replica.models for space in (model.takes, model.gives)}
    return (
        f"  {stage} {address(replica.url)}",
        _signed(_sign(replica), _state(replica)),
        _versions(stage, replica),
        (current if current and current in spaces else replica.feature_space) or _NOTHING,
        number(sum(replica.attempts.values())),
        number(calls_per_s),
        number(failures(replica.attempts)),
        number(replica.latency_ms),
        number(replica.in_flight),
    )


def _versions(stage: str, replica: ReplicaStatus) -> str:
    """The versions of all models that a replica serves; their names too, where it serves others than its stage's."""
    if replica.versions.keys() <= {stage}:
        return replica.versions.get(stage) or replica.version or _NOTHING
    named = [f"{name} {those}" for name, those in sorted(replica.versions.items())]
    return " · ".join(named[:_MOST_NAMED] + [f"{len(named) - _MOST_NAMED} more"] * (len(named) > _MOST_NAMED))


def _stage_row(stage: StageStatus) -> Row:
    ready, attempts = stage.ready_replicas, stage.attempts
    sign = _BAD if not ready else _GOOD if ready == len(stage.replicas) else _CARE
    return (
        Text(stage.name, style="bold"),
        _signed(sign, f"{ready} of {len(stage.replicas)} ready, {number(stage.retry_budget)} retries left"),
        "",
        "",
        number(attempts.total()),
        number(stage.recent.rate_per_s),
        number(failures(attempts)),
        _latencies(stage.recent),
        number(sum(replica.in_flight or 0 for replica in stage.replicas)),
    )


def _table(rows: list[Row], width: int) -> Table:
    """A table of the columns that there is room for."""
    columns = dict(zip((*_WORDS, *_NUMBERS), zip(*rows, strict=True), strict=True))
    for name in _FIRST_TO_GO:
        if sum(2 + max(map(cell_len, map(str, (title, *cells)))) for title, cells in columns.items()) > width:
            del columns[name]
    titles = [Column(name, overflow="fold", justify="right" if name in _NUMBERS else "left") for name in columns]
    table = Table(*titles, box=SIMPLE_HEAD, header_style="dim", show_edge=False, padding=(0, 1, 0, 0))
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _sign(replica: ReplicaStatus) -> tuple[str, str]:
    return _BAD if replica.state != "ready" else _CARE if _is_shut_out(replica) else _GOOD


def _signed(sign: tuple[str, str], words: str) -> Text:
    return Text.assemble((f"{sign[0]} ", f"bold {sign[1]}"), (words, "" if sign is _GOOD else sign[1]))


def number(value: float | None) -> str:
    """A number with a thin mark between thousands, and one decimal unless it is whole by nature; or a dash."""
    written = _NOTHING if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return written.replace(",", " ")


def span(seconds: float | None) -> str:
    """A time in hours, minutes and seconds: 2:13:20."""
    return _NOTHING if seconds is None else f"{timedelta(seconds=round(min(seconds, 1e10)))}"


def counts(outcomes: Mapping[str, int]) -> str:
    """Counts by name, answers first, then the most frequent; what never happened is left out."""
    shown = sorted((name != OK, -n, name) for name, n in outcomes.items() if n)
    return " · ".join(f"{number(-n)} {name}" for _, n, name in shown) or "none"


def _latencies(recent: RecentStatus) -> str:
    return f"{number(recent.p50_ms)} / {number(recent.p99_ms)}"


def address(url: str) -> str:
    """A replica's address without what all of them begin with."""
    return url.removeprefix("http://").removeprefix("https://")


def _state(replica: ReplicaStatus) -> str:
    """The last that the gateway heard of a replica, and its breaker unless that is closed."""
    heard = "not probed yet" if replica.state == "unknown" else replica.state.replace("_", " ")
    heard += f", restarted {replica.restarts} time{'s' * (replica.restarts > 1)}" if replica.restarts else ""
    return f"{heard}, breaker {_breaker(replica)}" if replica.breaker not in (None, "closed") else heard


def _is_shut_out(replica: ReplicaStatus) -> bool:
    """Whether its breaker keeps calls from it."""
    return replica.breaker in ("open", "half_open", "forced_open")


def _breaker(replica: ReplicaStatus) -> str:
    """The breaker's state, and when an open one tries again."""
    named = (replica.breaker or _NOTHING).replace("_", " ")
    return f"{named}, {replica.breaker_retry_in_s:.0f} s" if replica.breaker_retry_in_s else named
