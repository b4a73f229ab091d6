"""Where the processor time goes: of each process of Splitway for one request, from /proc/PID/stat around a load.

`python -m benchmarks.serving --only processor`. 16 clients, with the default model and with trivial stages, in turn
with the uncut model in one process, which keeps every core busy: what it takes is cores / rate.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from typing import Any

from benchmarks import contestants
from benchmarks.contestants import Running
from benchmarks.prepare import TRIVIAL
from benchmarks.turns import JPEG, MODELS, REST_S, TINY, Measure, Picture, Plan, alternate, in_process, in_turns, load
from testkit.processes import family, processor_s

CLIENTS = 16
IN_PROCESS, DEFAULT, TRIVIAL_STAGES = "in-process", "default model", "trivial stages"
WRK, BUSY = "wrk", "cores / rate"
"""The load generator; and all that the machine's cores could do in the time that a request took."""


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used_s(running: Running) -> dict[str, float]:
    """So far: of each process with what it has started, and of all wrk that have ended."""
    return {**{name: processor_s(family([pid])) for name, pid in running.pids.items()}, WRK: _children_s()}


def _busy_ms(rate: float) -> float:
    return (os.cpu_count() or 1) / rate * 1000


def _split(running: Running, picture: Picture, seconds: float) -> Measure:
    def measure(clients: int) -> dict[str, float]:
        running.thaw()
        try:
            load(running, picture, clients, REST_S)
            before = _used_s(running)
            figures = load(running, picture, clients, seconds)
            after = _used_s(running)
            time.sleep(REST_S)  # or what is still under way would be frozen and fail when it is thawed
        finally:
            running.freeze()
        shares = {f"{name}_ms": (after[name] - before[name]) / figures["requests"] * 1000 for name in before}
        return {**figures, **shares, "busy_ms": _busy_ms(figures["rate"])}

    return measure


def _alone(seconds: float) -> Measure:
    measure_rate = in_process(seconds)

    def measure(clients: int) -> dict[str, float]:
        figures = measure_rate(clients)
        return {**figures, "busy_ms": _busy_ms(figures["rate"])}

    return measure


def processor(plan: Plan) -> dict[str, Any]:
    """Measure both kinds of stages and the uncut model in turn."""
    rivals = {
        DEFAULT: contestants.splitway(MODELS, JPEG.path),
        TRIVIAL_STAGES: contestants.splitway(TRIVIAL, TINY.path),
    }
    with in_turns(rivals) as running:
        measures = {
            IN_PROCESS: _alone(plan.seconds),
            DEFAULT: _split(running[DEFAULT], JPEG, plan.seconds),
            TRIVIAL_STAGES: _split(running[TRIVIAL_STAGES], TINY, plan.seconds),
        }
        rows = alternate(measures, (CLIENTS,), plan.pairs)
    return {"rows": rows, "processes": [*running[DEFAULT].pids, WRK]}


def table(report: dict[str, Any]) -> str:
    """Milliseconds a request, in Markdown; medians over the pairs."""
    processes = report["processes"]
    lines = [f"| | {' | '.join(processes)} | together | {BUSY} |", "|---" * (len(processes) + 3) + "|"]
    for name in (DEFAULT, TRIVIAL_STAGES, IN_PROCESS):
        rows = [row for row in report["rows"] if row["name"] == name]
        busy_ms = statistics.median(row["busy_ms"] for row in rows)
        if name == IN_PROCESS:
            cells = [*[""] * (len(processes) + 1), f"{busy_ms:.2f}"]
        else:
            found = [statistics.median(row[f"{process}_ms"] for row in rows) for process in processes]
            cells = [f"{ms:.2f}" for ms in (*found, sum(found), busy_ms)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tell(report: dict[str, Any]) -> None:
    """The table for the terminal."""
    sys.stdout.write(table(report) + "\n")
