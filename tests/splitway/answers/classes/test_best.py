"""Classes are the largest probabilities, and are read back as they were written."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from splitway.answers.classes.best import best, best_classes
from splitway.answers.classes.predictions import read_predictions

CLASSES = 20
ROWS = hnp.arrays(np.float32, CLASSES, elements={"min_value": 0, "max_value": 1})


@given(ROWS)
def test_the_best_are_the_largest_in_order(row: NDArray[Any]) -> None:
    got = best(row, 5).tolist()
    assert got == sorted(range(CLASSES), key=lambda i: (-row[i], i))[:5]


@given(ROWS)
def test_what_is_written_is_read_back(row: NDArray[Any]) -> None:
    labels = [f"a: {number}" for number in range(CLASSES)]
    found = read_predictions("head", best_classes(row[None], 3, labels), 3)
    assert [(each.label, np.float32(each.confidence)) for each in found] == [
        (labels[i], row[i]) for i in best(row, 3).tolist()
    ]


def test_there_are_no_more_classes_than_probabilities() -> None:
    assert best_classes(np.ones((2, 3), np.float32), 5, []).shape == (2, 3)


def test_of_a_multi_label_head_as_many_are_written_as_reach_the_threshold_and_one_at_least() -> None:
    rows = np.array([[0.9, 0.5, 0.1], [0.2, 0.1, 0.3]], np.float32)
    assert best_classes(rows, 1, [], 0.5).shape == (2, 2)
    assert best_classes(rows[1:], 1, [], 0.5).shape == (1, 1)
