"""Whether Splitway stays what it is under load: a minute of 64 clients, its errors, times and memory."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks import contestants
from benchmarks.contestants import Running
from benchmarks.turns import JPEG, MODELS, REST_S, Plan, load
from testkit.processes import resident_mb

CLIENTS = 64
WARM_UP_S = 10.0
SECONDS = 60.0
GROWTH_WANTED = 0.05
"""Of the resident memory after the warm-up."""
P99_WANTED = 2.0
"""Times p50."""


def _memory_mb(running: Running) -> dict[str, float]:
    time.sleep(REST_S)
    return {name: resident_mb([pid]) for name, pid in running.pids.items()}


def endurance(_: Plan) -> dict[str, Any]:
    """Load for ten seconds, look at the memory, load for a minute, look again; the durations are always these."""
    with contestants.splitway(MODELS, JPEG.path) as running:
        load(running, JPEG, CLIENTS, WARM_UP_S)
        before = _memory_mb(running)
        figures = load(running, JPEG, CLIENTS, SECONDS)
        after = _memory_mb(running)
    memory_mb = {name: {"before": before[name], "after": after[name]} for name in before}
    return {"clients": CLIENTS, "seconds": SECONDS, "figures": figures, "resident_mb": memory_mb}


def growth(report: dict[str, Any]) -> float:
    """Of all processes together, as a share of what they had after the warm-up."""
    memory_mb = report["resident_mb"].values()
    return float(sum(each["after"] for each in memory_mb) / sum(each["before"] for each in memory_mb) - 1)


def table(report: dict[str, Any]) -> str:
    """What was asked for and what was measured, in Markdown."""
    figures = report["figures"]
    p50_ms, p99_ms = figures["p50_ms"], figures["p99_ms"]
    lines = [
        "| | measured | wanted |",
        "|---|---|---|",
        f"| errors, of {figures['requests']:.0f} requests | {figures['errors']:.0f} | 0 |",
        f"| p99 / p50 | {p99_ms / p50_ms:.2f} ({p99_ms:.0f} ms / {p50_ms:.0f} ms) | at most {P99_WANTED:g} |",
        f"| growth of resident memory | {growth(report):+.1%} | less than {GROWTH_WANTED:.0%} |",
    ]
    for name, mb in report["resident_mb"].items():
        change = mb["after"] / mb["before"] - 1
        lines.append(f"| {name} | {change:+.1%} ({mb['before']:.1f} to {mb['after']:.1f} MB) | |")
    return "\n".join(lines)


def tell(report: dict[str, Any]) -> None:
    """The table for the terminal."""
    sys.stdout.write(table(report) + "\n")
