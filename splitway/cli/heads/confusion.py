"""Which classes a classifier takes for which: counts, and a picture of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from splitway.cli.models.plot import as_svg, new_figure

_CELL_INCHES, _SMALLEST_INCHES, _MOST_INCHES = 0.4, 0.02, 10.0
_MOST_LABELLED = 60
_MOST_NUMBERED = 25
_RIGHT, _WRONG = (0.15, 0.39, 0.92), (0.86, 0.15, 0.15)


def count(true: NDArray[np.int64], found: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Rows are what pictures show, columns what they were taken for."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (true, found), 1)
    return matrix


def worst(matrix: NDArray[np.int64], labels: Sequence[str], most: int) -> list[tuple[str, str, int, int]]:
    """The most frequent confusions, by the share of their class: shown, taken for, how often, out of how many."""
    sums = matrix.sum(axis=1)
    wrong = [(true, taken) for true, taken in np.argwhere(matrix) if true != taken]
    wrong.sort(key=lambda pair: (-matrix[pair] / sums[pair[0]], -matrix[pair]))
    return [(labels[true], labels[taken], int(matrix[true, taken]), int(sums[true])) for true, taken in wrong[:most]]


def drawing(title: str, matrix: NDArray[np.int64], labels: Sequence[str]) -> str:
    """Draw the counts as SVG: a row for each true class, a column for each predicted one; blue what is right, red what
    is not. The picture is as large as its title and labels need."""
    classes = len(labels)
    side = classes * max(_SMALLEST_INCHES, min(_CELL_INCHES, _MOST_INCHES / classes))
    figure = new_figure((side, side), layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    strengths = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(_colours(strengths))
    axes.set_title(title, parse_math=False)
    axes.set(xlabel="predicted class", ylabel="true class")
    named = labels if classes <= _MOST_LABELLED else []
    short = [label if len(label) <= 18 else f"{label[:17]}…" for label in named]
    axes.set_xticks(range(len(short)), short, rotation=60, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(short)), short, parse_math=False)
    for true, taken in np.argwhere(matrix) if classes <= _MOST_NUMBERED else ():
        ink = "white" if strengths[true, taken] > 0.5 else "black"
        axes.text(taken, true, str(matrix[true, taken]), color=ink, ha="center", va="center")
    return as_svg(figure, title, cut_to_fit=True)


def _colours(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Red, green, blue and opacity of each cell; what never happened cannot be seen."""
    right = np.eye(len(strengths), dtype=bool)[..., None]
    opacity = np.where(strengths > 0, 0.15 + 0.85 * strengths, 0.0)
    return np.concatenate([np.where(right, _RIGHT, _WRONG), opacity[..., None]], axis=2)
