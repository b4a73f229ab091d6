"""What `splitway bench` prints: tables for people, one JSON object for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from splitway.cli.bench.anatomy import OTHER, Anatomy, PlaceTimes, Spread
from splitway.cli.bench.break_even import BreakEven
from splitway.cli.bench.explain import Explanation
from splitway.cli.bench.load import LoadResult
from splitway.cli.console import OUT, bar

_ROUNDING_MS = 0.01
_LEGEND = (
    "ms; means add up, medians and p99 do not. network: HTTP on both sides of a hop, and all else between it "
    "and the engine; client: its HTTP client, the connection and the gateway's server."
)


def print_load(load: LoadResult) -> None:
    """Print one row of what the clients saw."""
    figures = _load_figures(load)
    table = Table(box=None, header_style="bold")
    for name in ("clients", "seconds", "requests", "requests/s", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    table.add_column("failures")
    failures = ", ".join(f"{count} {code}" for code, count in sorted(load.failures.items())) or "none"
    numbers = (figures["requests_per_s"], figures["p50_ms"], figures["p99_ms"])
    counts = (f"{load.clients}", f"{load.seconds:g}", f"{figures['requests']}")
    table.add_row(*counts, *(f"{number:.1f}" for number in numbers), failures)
    OUT.print(table)


def print_load_json(load: LoadResult) -> None:
    """Print the same as one JSON object."""
    print(json.dumps(_load_figures(load)))


def _load_figures(load: LoadResult) -> dict[str, Any]:
    spread = Spread.of(load.waits_ms)
    return {
        "clients": load.clients,
        "seconds": load.seconds,
        "requests": len(load.waits_ms),
        "requests_per_s": len(load.waits_ms) / load.seconds,
        "p50_ms": spread.median_ms,
        "p99_ms": spread.p99_ms,
        "failures": dict(load.failures),
    }


def print_explanation(explanation: Explanation) -> None:
    """Print the anatomy as a table and what follows from it as sentences."""
    anatomy = explanation.anatomy
    table = Table(box=None, header_style="bold")
    table.add_column(f"{anatomy.requests} requests")
    for name in ("mean", "median", "p99", "share"):
        table.add_column(name, justify="right")
    table.add_column()
    for place in anatomy.places:
        _add_row(table, anatomy, place.name, place.whole, "bold")
        for name, spread in _parts(place).items():
            _add_row(table, anatomy, f"  {name}", spread, None)
    _add_row(table, anatomy, "the client's wait", anatomy.wait, "bold")
    OUT.print(table)
    OUT.print(_LEGEND, style="dim")
    for sentence in _sentences(explanation):
        OUT.print(sentence)


def _parts(place: PlaceTimes) -> dict[str, Spread]:
    """The parts worth a row: none, where all is in one, and no rest that is only rounding."""
    if set(place.parts) == {OTHER}:
        return {}
    return {name: spread for name, spread in place.parts.items() if name != OTHER or abs(spread.mean_ms) > _ROUNDING_MS}


def _add_row(table: Table, anatomy: Anatomy, name: str, spread: Spread, style: str | None) -> None:
    share = anatomy.share(spread)
    times = (f"{ms:z.2f}" for ms in (spread.mean_ms, spread.median_ms, spread.p99_ms))
    table.add_row(name, *times, f"{share * 100:z.1f} %", bar(share), style=style)


def _sentences(explanation: Explanation) -> list[str]:
    if explanation.break_even is not None:
        return explanation.break_even.sentences()
    return [] if explanation.why_not is None else [explanation.why_not]


def print_explanation_json(explanation: Explanation) -> None:
    """Print the same as one JSON object; times in milliseconds, shares of 1."""
    anatomy = explanation.anatomy
    content = {
        "requests": anatomy.requests,
        "wait": asdict(anatomy.wait),
        "places": {
            place.name: {
                **_figures(anatomy, place.whole),
                "parts": {name: _figures(anatomy, spread) for name, spread in _parts(place).items()},
            }
            for place in anatomy.places
        },
        "break_even": None if explanation.break_even is None else _break_even_figures(explanation.break_even),
        "says": _sentences(explanation),
    }
    print(json.dumps(content))


def _figures(anatomy: Anatomy, spread: Spread) -> dict[str, float]:
    return {**asdict(spread), "share": anatomy.share(spread)}


def _break_even_figures(found: BreakEven) -> dict[str, float | None]:
    return {
        "served_ms": found.served,
        "in_process_ms": found.in_process,
        "cost_ms": found.cost,
        "uncertainty_ms": found.uncertainty,
        "extractor_ms": found.extractor,
        "head_ms": found.head,
        "further_heads": found.further_heads,
        "repeats_share": found.repeats,
    }
