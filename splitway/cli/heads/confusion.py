"""Which classes a classifier takes for which: counts, and a picture of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_CELL, _SMALLEST_CELL = 34, 6
_MOST_PIXELS = 900
_MARGIN = 130
_MOST_LABELLED = 60
_STYLE = (
    ".ground{fill:#fff}text{font:12px system-ui,sans-serif;fill:#374151}.in{fill:#fff}.right{fill:#2563eb}"
    ".wrong{fill:#dc2626}@media(prefers-color-scheme:dark){.ground{fill:#111827}text{fill:#d1d5db}}"
)


class Confusion(NamedTuple):
    """How often pictures of one class were taken for another."""

    true: str
    taken_for: str
    times: int
    of: int


def count(true: NDArray[np.int64], found: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Rows are what pictures show, columns what they were taken for."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (true, found), 1)
    return matrix


def worst(matrix: NDArray[np.int64], labels: Sequence[str], most: int) -> list[Confusion]:
    """The most frequent confusions, by the share of their class."""
    sums = matrix.sum(axis=1)
    found = [
        Confusion(labels[true], labels[taken], int(matrix[true, taken]), int(sums[true]))
        for true, taken in np.argwhere(matrix)
        if true != taken
    ]
    return sorted(found, key=lambda each: (-each.times / each.of, -each.times))[:most]


def drawing(title: str, matrix: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Draw the counts as SVG, in a file of its own: a row for each class, blue what is right, red what is not."""
    cell = max(_SMALLEST_CELL, min(_CELL, _MOST_PIXELS // len(labels)))
    side = cell * len(labels)
    width, height = _MARGIN + side + 20, 40 + side + _MARGIN
    sums = np.maximum(matrix.sum(axis=1), 1)
    cells = [
        part
        for true, taken in np.argwhere(matrix)
        for part in _cell(int(true), int(taken), int(matrix[true, taken]), float(sums[true]), cell)
    ]
    names = [] if len(labels) > _MOST_LABELLED else _names(labels, cell, side)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{_STYLE}</style>'
        f'<rect class="ground" width="{width}" height="{height}"/>'
        f'<text x="{_MARGIN}" y="22">{escape(title)}</text>{"".join(cells)}{"".join(names)}</svg>\n'
    )


def _cell(true: int, taken: int, times: int, of: float, size: int) -> list[str]:
    x, y = _MARGIN + taken * size, 40 + true * size
    kind, strength = "right" if true == taken else "wrong", 0.15 + 0.85 * times / of
    parts = [f'<rect class="{kind}" x="{x}" y="{y}" width="{size}" height="{size}" fill-opacity="{strength:.2f}"/>']
    if size >= 24:
        inside = ' class="in"' if strength > 0.6 else ""
        parts.append(f'<text{inside} x="{x + size / 2}" y="{y + size / 2 + 4}" text-anchor="middle">{times}</text>')
    return parts


def _names(labels: Sequence[str], cell: int, side: int) -> list[str]:
    """The classes beside the rows (what is shown) and under the columns (what it was taken for)."""
    parts = []
    for number, label in enumerate(labels):
        at, short = number * cell + cell / 2, escape(label if len(label) <= 18 else f"{label[:17]}…")
        parts.append(f'<text x="{_MARGIN - 6}" y="{44 + at}" text-anchor="end">{short}</text>')
        x, y = _MARGIN + at + 4, 46 + side
        parts.append(f'<text x="{x}" y="{y}" text-anchor="end" transform="rotate(-60 {x} {y})">{short}</text>')
    return parts
