"""What a load test leaves: a table on the terminal and one HTML file with plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table

from splitway.cli.models.plot import Line, Plot, Points
from tests.load.knee import Knee
from tests.load.step import Step

_BLUE, _ORANGE, _RED, _GREEN, _GREY = "#2563eb", "#d97706", "#dc2626", "#15803d", "#6b7280"
_COLUMNS = ("arrivals", "offered", "answered", "p50", "p95", "p99", "late", "sent", "failed")
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #111827; background: #fff; max-width: 960px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; } .about { color: #6b7280; margin-top: .2rem; }
.knee { border-left: 4px solid #2563eb; background: #eff6ff; padding: .7rem 1rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 1.2rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid #e5e7eb; white-space: nowrap; }
td.told { white-space: normal; overflow-wrap: anywhere; }
th:first-child, td:first-child, th.told, td.told { text-align: left; }
tr.missed td { color: #b91c1c; } tr.knee-row td { font-weight: 700; background: #eff6ff; }
"""


@dataclass(frozen=True)
class Report:
    """Everything that was seen in one run."""

    service: str
    url: str
    mark_ms: float
    seconds: float
    """Of each step."""
    steps: Sequence[Step]
    knee: Knee
    about: str
    """The date, the machine and the commit."""
    others: str
    """What other processes took of the machine meanwhile."""

    @property
    def sentence(self) -> str:
        return self.knee.sentence(self.service, self.mark_ms)

    def table(self) -> Table:
        """The steps for the terminal."""
        title = f"{self.service}: steps of {self.seconds:g} s, p99 mark {self.mark_ms:g} ms; times in ms"
        table = Table(title=title, title_justify="left", box=SIMPLE)
        for column in _COLUMNS:
            table.add_column(column, justify="left" if column == "arrivals" else "right", no_wrap=True)
        for step in self.steps:
            table.add_row(*_cells(step), style=self._style(step))
        return table

    def _style(self, step: Step) -> str | None:
        if step is self.knee.kept:
            return "bold green"
        return "red" if self._missed(step) else None

    def _missed(self, step: Step) -> bool:
        return step.failures > 0 or (step.arrivals == "open" and not step.keeps(self.mark_ms))

    def write(self, path: Path) -> None:
        """Write the HTML file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._html(), encoding="utf-8")

    def _html(self) -> str:
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Load on the {self.service}</title>'
            f"<style>{_STYLE}</style></head><body>\n<h1>Load on the {self.service}</h1>\n"
            f'<p class="about">{escape(self.url)} · {escape(self.about)} · steps of {self.seconds:g} s</p>\n'
            f'<p class="knee">{escape(self.sentence)} {escape(self.others)}</p>\n'
            f'<div class="plots">{"".join(self._plots())}</div>\n'
            f"{self._html_table()}\n<p class='about'>Closed: each user waits for the answer before asking again. Open: "
            "requests are sent by the clock whatever the answers do, and latency counts from when a request was due. "
            "Latencies are of right answers; “late” is the "
            "sender's own delay, p99. All times are in milliseconds.</p>\n</body></html>\n"
        )

    def _html_table(self) -> str:
        head = "".join(f"<th>{column}</th>" for column in _COLUMNS) + '<th class="told">most frequent failure</th>'
        rows = []
        for step in self.steps:
            css = "knee-row" if step is self.knee.kept else "missed" if self._missed(step) else ""
            cells = "".join(f"<td>{cell}</td>" for cell in _cells(step))
            rows.append(f'<tr class="{css}">{cells}<td class="told">{escape(step.told)}</td></tr>')
        return f"<table><thead><tr>{head}</tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table>"

    def _plots(self) -> list[str]:
        closed = [step for step in self.steps if step.arrivals == "closed"]
        by_rate = {
            step.load: step for step in self.steps if step.arrivals == "open"
        }  # the second try, if there was one
        opened = [by_rate[rate] for rate in sorted(by_rate)]
        least, most = opened[0].load, opened[-1].load
        mark = Line("mark", _GREY, [(least, self.mark_ms), (most, self.mark_ms)], dashed=True, dots=False)
        ideal = Line("offered", _GREY, [(least, least), (most, most)], dashed=True, dots=False)
        answered = Line("answered", _GREEN, [(step.load, step.rate_answered) for step in opened])
        users = Line("answered", _GREEN, [(step.load, step.rate_answered) for step in closed])
        users_held = sorted({step.load for step in closed})
        rate, latency = "requests a second offered", "latency, ms"
        plots = [
            Plot(
                "Open arrivals: latency",
                rate,
                latency,
                [*_latencies(opened), mark, *self._knee_line(opened)],
                logarithmic="y",
            ),
            Plot("Open arrivals: answered", rate, "right answers a second", [answered, ideal]),
            Plot(
                "Closed arrivals: latency", "users", latency, _latencies(closed), logarithmic="xy", x_ticks=users_held
            ),
            Plot(
                "Closed arrivals: answered",
                "users",
                "right answers a second",
                [users],
                logarithmic="x",
                x_ticks=users_held,
            ),
        ]
        return [_figure(plot) for plot in plots]

    def _knee_line(self, opened: Sequence[Step]) -> list[Line]:
        if self.knee.kept is None:
            return []
        at = self.knee.kept.load
        slowest = max(step.p99_ms for step in opened if math.isfinite(step.p99_ms))
        ends = [(at, min(step.p50_ms for step in opened)), (at, max(self.mark_ms, slowest))]
        return [Line("knee", _GREEN, ends, dashed=True, dots=False)]


def _figure(plot: Plot) -> str:
    """A plot as a figure of the page; nothing if there is no point to draw."""
    drawn = plot.as_svg()
    return f"<figure><figcaption>{escape(plot.title)}</figcaption>{drawn}</figure>" if drawn else ""


def _latencies(steps: Sequence[Step]) -> list[Line]:
    def points(name: str) -> Points:
        return [(step.load, getattr(step, name)) for step in steps]

    return [
        Line("p50", _BLUE, points("p50_ms")),
        Line("p95", _ORANGE, points("p95_ms")),
        Line("p99", _RED, points("p99_ms")),
    ]


def _cells(step: Step) -> list[str]:
    late = _ms(step.late_ms) if step.arrivals == "open" else ""
    latencies = [_ms(time_ms) for time_ms in (step.p50_ms, step.p95_ms, step.p99_ms)]
    return [
        step.arrivals,
        step.name,
        f"{step.rate_answered:.1f}/s",
        *latencies,
        late,
        str(step.requests),
        str(step.failures),
    ]


def _ms(time_ms: float) -> str:
    """Write a time no more exactly than a short step can know it."""
    if not math.isfinite(time_ms):
        return "-"
    return f"{time_ms:.1f}" if time_ms < 100 else f"{time_ms:.0f}"
