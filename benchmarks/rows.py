"""What is measured in turn, as rows of a name, a count of clients, a pair and figures; and what they say together."""

from __future__ import annotations

import statistics
from typing import Any

Figures = dict[str, float]
Rows = list[dict[str, Any]]


def names(rows: Rows) -> list[str]:
    """Who was measured, in the order of their turns."""
    return list(dict.fromkeys(row["name"] for row in rows))


def counts(rows: Rows) -> list[int]:
    """The counts of clients, as they were measured."""
    return list(dict.fromkeys(row["clients"] for row in rows))


def ratios(rows: Rows, ours: str, theirs: str, clients: int, key: str = "rate") -> list[float]:
    """Ours over theirs, one for each pair, sorted."""
    by_pair: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["clients"] == clients:
            by_pair.setdefault(row["pair"], {})[row["name"]] = row[key]
    return sorted(pair[ours] / pair[theirs] for pair in by_pair.values() if ours in pair and theirs in pair)


def spread(rows: Rows, ours: str, theirs: str, clients: int) -> str:
    """The median of the ratios with the least and the greatest."""
    found = ratios(rows, ours, theirs, clients)
    return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"


def median(rows: Rows, name: str, clients: int, key: str) -> float:
    """The median over all pairs."""
    return statistics.median(float(row[key]) for row in rows if row["name"] == name and row["clients"] == clients)
