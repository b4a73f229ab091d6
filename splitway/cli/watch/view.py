"""The view of `splitway top`: the gateway, troubles, the stages and their replicas, those in trouble first."""

from __future__ import annotations

from collections import Counter

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from splitway.cli.status import Look, failures
from splitway.cli.watch import wording
from splitway.cli.watch.wording import NOTHING, number
from splitway.schemas.pipeline import ReplicaStatus, StageStatus

_GOOD, _CARE, _BAD = ("✓", "green"), ("!", "yellow"), ("✗", "red")
"""Marks and their colours: the mark alone says it too."""
_WORDS = ("stage and replica", "state", "version", "feature space")
_NUMBERS = ("calls", "calls/s", "failed", "p50 / p99 ms", "in flight")
_FIRST_TO_GO = ("feature space", "version", "in flight", "calls", "failed")
"""Columns that are left out one by one until the others fit."""
Row = tuple[Text | str, ...]


def view(look: Look, width: int, before: Look | None = None, hint: str = "") -> Group:
    """Draw a look.

    Args:
        look: the last answer.
        width: columns to draw on.
        before: an earlier answer, from which on the calls of replicas are counted.
        hint: a word on the frame.
    """
    if (status := look.status) is None:
        return Group(_gateway(look, hint))
    every = [(stage.name, replica) for stage in status.stages for replica in stage.replicas]
    every.sort(key=lambda each: _sign(each[1]) is _GOOD)
    calls, passed_s = _calls(look) - _calls(before), look.at_s - before.at_s if before else 0.0
    rates = [calls[stage, each.url] / passed_s if passed_s else None for stage, each in every]
    rows = [*map(_stage_row, status.stages), *(_replica_row(*of, rate) for of, rate in zip(every, rates, strict=True))]
    return Group(_gateway(look, hint), *[_signed(_BAD, s) for s in wording.troubles(status)], "", _table(rows, width))


def _gateway(look: Look, hint: str) -> Panel:
    told = look.status.gateway if look.status else None
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_row("state", _signed(_GOOD if look.is_ready else _BAD, wording.readiness(look)))
    for name, words in wording.said_of_all(look.status).items() if look.status else ():
        rows.add_row(name, words)
    return Panel(
        rows,
        title=f"Splitway {told.version if told else NOTHING} {look.url}",
        title_align="left",
        subtitle=f"up for {wording.span(told.uptime_s if told else None)} · {look.at:%H:%M:%S}{hint}",
        subtitle_align="right",
        border_style="green" if look.is_ready else "red",
    )


def _calls(look: Look | None) -> Counter[tuple[str, str]]:
    """To each replica since the gateway started, by stage and address."""
    stages = look.status.stages if look and look.status else ()
    return Counter({(stage.name, each.url): sum(each.attempts.values()) for stage in stages for each in stage.replicas})


def _replica_row(stage: str, replica: ReplicaStatus, calls_per_s: float | None) -> Row:
    return (
        f"  {stage} {wording.address(replica.url)}",
        _signed(_sign(replica), wording.state(replica)),
        replica.version or NOTHING,
        replica.feature_space or NOTHING,
        number(sum(replica.attempts.values())),
        number(calls_per_s),
        number(failures(replica.attempts)),
        number(replica.latency_ms),
        number(replica.in_flight),
    )


def _stage_row(stage: StageStatus) -> Row:
    ready, attempts = stage.ready_replicas, stage.attempts
    sign = _BAD if not ready else _GOOD if ready == len(stage.replicas) else _CARE
    return (
        Text(stage.name, style="bold"),
        _signed(sign, f"{ready} of {len(stage.replicas)} ready, {number(stage.retry_budget)} retries"),
        "",
        "",
        number(attempts.total()),
        number(stage.recent.rate_per_s),
        number(failures(attempts)),
        wording.latencies(stage.recent),
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
    return _BAD if replica.state != "ready" else _CARE if wording.is_shut_out(replica) else _GOOD


def _signed(sign: tuple[str, str], words: str) -> Text:
    return Text.assemble((f"{sign[0]} ", f"bold {sign[1]}"), (words, "" if sign is _GOOD else sign[1]))
