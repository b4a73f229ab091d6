"""What `splitway top` draws: the gateway above, the stages and their replicas below, what is wrong at the end."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from splitway.cli.status import Look, failures
from splitway.cli.watch.trend import SPAN_S, Trends, spark_line
from splitway.cli.watch.wording import (
    NOTHING,
    address,
    breaker,
    count,
    counts,
    is_shut_out,
    latencies,
    number,
    readiness,
    share,
    spaces,
    span,
    state,
    troubles,
)
from splitway.schemas.pipeline import PipelineStatus
from splitway.schemas.pipeline import ReplicaStatus as Replica
from splitway.schemas.pipeline import StageStatus as Stage

GOOD, BAD = ("✓", "green"), ("✗", "red")
CARE = ("!", "yellow")
Sign = tuple[str, str]
"""A mark and its colour: the mark alone says it too."""
Row = dict[str, Text | str]
"""Cells by their column."""
_NUMBERS = ("version", "calls", "calls/s", "failed", "p50 / p99 ms", "in flight")
_ALL = ("stage and replica", "state", "breaker", "version", "feature space", *_NUMBERS[1:])
_FIRST_TO_GO = ("feature space", "version", "in flight", "calls", "breaker", "failed")
"""Columns that are left out one by one until the others fit."""
_GAP = 2
"""Between two columns."""
_SPARK_CELLS = 30
_FRAME_LINES = 14
"""Lines of the view beside those of stages, replicas and troubles."""


def view(look: Look, trends: Trends, width: int, height: int | None = None) -> RenderableType:
    """Draw a look.

    Args:
        look: the last answer.
        trends: what was seen before it.
        width, height: of the screen; all replicas are shown where no height is given.
    """
    parts: list[RenderableType] = [_title(look), _gateway(look, trends, "" if height is None else "q quits")]
    if look.status is not None:
        wrong = _troubles(look.status, height)
        room = None if height is None else max(0, height - _FRAME_LINES - len(wrong))
        parts += ["", _stages(look.status, trends, width, room), "", *wrong]
    return Group(*parts)


def _title(look: Look) -> RenderableType:
    gateway = look.status.gateway if look.status else None
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column()
    line.add_column(justify="right")
    name = Text.assemble(("Splitway", "bold"), f" {gateway.version or NOTHING}" if gateway else "", f"  {look.url}")
    up_for = f"up for {span(gateway.uptime_s)}   " if gateway else ""
    line.add_row(name, Text(f"{up_for}{look.at.strftime('%H:%M:%S')}", style="dim"))
    return line


def _gateway(look: Look, trends: Trends, hint: str) -> RenderableType:
    sign, sentence = _readiness(look)
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(ratio=1)
    rows.add_row("state", _signed(sign, sentence))
    if look.status is not None:
        for name, words in _gateway_rows(look.status, trends):
            rows.add_row(name, words)
    elif trends.answered_at_s is not None:
        rows.add_row("silent", f"for {span(look.at_s - trends.answered_at_s)}; it is asked again and again")
    frame = Panel(rows, title="gateway", title_align="left", border_style=sign[1], box=ROUNDED)
    frame.subtitle, frame.subtitle_align = hint, "right"
    return frame


def _readiness(look: Look) -> tuple[Sign, str]:
    if look.status is None:
        return BAD, f"{look.trouble}"
    if look.status.ready:
        return GOOD, "ready"
    return BAD, f"not ready: {look.status.reason or 'no reason given'}"


def _gateway_rows(status: PipelineStatus, trends: Trends) -> Iterator[tuple[str, Text]]:
    gateway, door = status.gateway, status.admission
    if gateway is None:
        yield "requests", Text("this gateway is of an older version and does not count them here")
    else:
        recent = gateway.recent
        rate = recent.rate_per_s if recent.rate_per_s is not None else trends.requests.rate_per_s
        failed = "bold red" if recent.failed else ""
        yield "requests", Text(f"{count(sum(gateway.requests.values()))} since start: {counts(gateway.requests)}")
        yield "rate", Text.assemble((f"{number(rate)}/s", "bold"), *_spark(trends))
        lately = f", last {number(recent.window_s, 0)} s" if recent.window_s is not None else ""
        yield "answers", Text.assemble(f"p50 / p99  {latencies(recent)} ms · ", (share(recent), failed), lately)
    inside = f"{count(door.in_flight)} in flight of {number(door.limit, 0)} · {count(door.queued)} queued"
    yield "door", Text(f"{inside} · turned away: {counts(door.turned_away)}")
    yield "features", Text(spaces(status))


def _spark(trends: Trends) -> Iterator[str | tuple[str, str]]:
    rates = trends.requests.rates(_SPARK_CELLS)
    peak = max((rate for rate in rates if rate is not None), default=None)
    if peak is not None:
        yield "   "
        yield spark_line(rates), "cyan"
        yield f"  {SPAN_S:.0f} s, peak {number(peak)}/s"


def _stages(status: PipelineStatus, trends: Trends, width: int, room: int | None) -> RenderableType:
    shown, hidden = _fitting(status, room)
    rows: list[tuple[str, Row]] = []
    for stage in status.stages:
        rows.append(("bold", _stage_cells(stage)))
        rows += [("", _replica_cells(stage, replica, trends)) for replica in shown[stage.name]]
    table = Table(box=SIMPLE_HEAD, header_style="dim", show_edge=False, padding=(0, 1, 0, 0))
    columns = _columns([row for _, row in rows], width)
    for name in columns:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True, overflow="ellipsis")
    for style, row in rows:
        table.add_row(*(row.get(name, "") for name in columns), style=style)
    if not hidden:
        return table
    return Group(table, Text(f"  and {hidden} more replicas that are ready: a taller window shows them", style="dim"))


def _columns(rows: list[Row], width: int) -> list[str]:
    """The columns that there is room for."""
    needed = {name: max(cell_len(text) for text in (name, *(str(row.get(name, "")) for row in rows))) for name in _ALL}
    for name in _FIRST_TO_GO:
        if sum(needed.values()) + _GAP * len(needed) <= width:
            break
        del needed[name]
    return list(needed)


def _fitting(status: PipelineStatus, room: int | None) -> tuple[dict[str, list[Replica]], int]:
    """The replicas of each stage that there is room for, those in trouble before the others; how many there is not."""
    every = [(stage.name, replica) for stage in status.stages for replica in stage.replicas]
    room = len(every) if room is None else room - len(status.stages)
    by_need = sorted(every, key=lambda each: each[1].state == "ready" and not is_shut_out(each[1]))
    kept = {id(replica) for _, replica in by_need[: max(0, room)]}
    shown = {stage.name: [each for each in stage.replicas if id(each) in kept] for stage in status.stages}
    return shown, len(every) - len(kept)


def _stage_cells(stage: Stage) -> Row:
    ready, attempts = stage.ready_replicas, stage.attempts
    sign = BAD if not ready else GOOD if ready == len(stage.replicas) else CARE
    return {
        "stage and replica": stage.name,
        "state": _signed(sign, readiness(stage)),
        "breaker": f"{number(stage.retry_budget)} retries",
        "calls": count(attempts.total()),
        "calls/s": number(stage.recent.rate_per_s),
        "failed": _failed(failures(attempts)),
        "p50 / p99 ms": latencies(stage.recent),
        "in flight": count(sum(replica.in_flight or 0 for replica in stage.replicas)),
    }


def _replica_cells(stage: Stage, replica: Replica, trends: Trends) -> Row:
    trend = trends.replicas.get((stage.name, replica.url))
    sign = GOOD if replica.state == "ready" else CARE if replica.state == "unknown" else BAD
    return {
        "stage and replica": f"  {address(replica.url)}",
        "state": _signed(sign, state(replica)),
        "breaker": _signed(CARE, breaker(replica)) if is_shut_out(replica) else breaker(replica),
        "version": replica.version or NOTHING,
        "feature space": replica.feature_space or NOTHING,
        "calls": count(sum(replica.attempts.values())),
        "calls/s": number(None if trend is None else trend.rate_per_s),
        "failed": _failed(failures(replica.attempts)),
        "p50 / p99 ms": number(replica.latency_ms),
        "in flight": count(replica.in_flight),
    }


def _failed(number_: int) -> Text:
    return Text(count(number_), style="bold red" if number_ else "")


def _troubles(status: PipelineStatus, height: int | None) -> list[RenderableType]:
    """A line for each, as far as there is room."""
    lines = list(troubles(status))
    room = len(lines) if height is None else max(2, height // 8)
    shown: list[RenderableType] = [_signed(BAD, line) for line in lines[:room]]
    return shown + [Text(f"  and {len(lines) - room} more", style="dim")] * (len(lines) > room)


def _signed(sign: Sign, words: str) -> Text:
    return Text.assemble((f"{sign[0]} ", f"bold {sign[1]}"), (words, sign[1] if sign is not GOOD else ""))
