"""From the measured figures of `benchmarks.resilience` to the page docs/resilience.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Figures = dict[str, float]
_HEAD = """# The same trouble, through Splitway and through Envoy

Made by `make bench WHAT=resilience` on {date}, {machine}, commit {commit}. Two replicas a stage, one engine
thread each; 25 or 50 requests a second, each with a picture of its own whose answer is compared bit for bit. One of
two replicas of one stage is in trouble unless the row says otherwise; trouble begins after two seconds. Envoy 1.40 has
the same number of attempts, times and back-off, retries on another host, a retry budget, outlier detection, health
checks every 250 ms and the least-request balancer (`benchmarks/envoy.py`). Envoy does not chain: its caller calls one
stage after the other.

*success*: right answers of all requests · *wrong*: answers with status 200 that were not right · *load*: calls that
reached the stage for each request.

| scenario | | success | wrong | load | p99 ms |
|---|---|---|---|---|---|
"""


def _row(scenario: str, name: str, figures: Figures) -> str:
    cells = [
        f"{figures['success']:.2%}",
        f"{figures['wrong']:.0f}",
        f"{figures['load']:.2f}",
        f"{figures['p99_ms']:.0f}",
    ]
    return f"| {scenario} | {name} | {' | '.join(cells)} |\n"


def _special(results: dict[str, dict[str, Figures]], scenario: str, say: Callable[[Figures], str]) -> str:
    lines = [f"* {scenario}, {name}: {say(figures)}\n" for name, figures in results.get(scenario, {}).items()]
    return "".join(lines)


def _slower(figures: Figures) -> str:
    ratio, success = figures["p99_of_healthy"], figures["success"]
    return f"ten seconds on, p99 is {ratio:.2f} times the healthy one; success {success:.2%}"


def _overload(figures: Figures) -> str:
    return (
        f"goodput {figures['goodput_of_peak']:.2f} of its own peak ({figures['peak']:.0f}/s); refused in "
        f"{figures['refused_p50_ms']:.1f} ms, p99 {figures['refused_p99_ms']:.1f} ms; "
        f"answered within {figures['p99_ms']:.0f} ms (p99)"
    )


def _outage(figures: Figures) -> str:
    return f"normal again {figures['normal_after_s']:.1f} s after its end"


def table(report: dict[str, Any]) -> str:
    """The page, in Markdown."""
    results: dict[str, dict[str, Figures]] = report["results"]
    rows = [
        _row(scenario, name, figures)
        for scenario, contestants in results.items()
        for name, figures in contestants.items()
        if "load" in figures
    ]
    outages = [scenario for scenario in results if scenario.startswith("outage")]
    more = [_special(results, "ten times slower", _slower), _special(results, "overload, 3x", _overload)]
    more += [_special(results, scenario, _outage) for scenario in outages]
    return _HEAD.format(**report["about"]) + "".join(rows) + "\n" + "".join(more)
