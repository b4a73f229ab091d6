"""What a model's answer may be."""

from __future__ import annotations

import numpy as np
import pytest

from splitway.runtime.arrays import Arrays
from splitway.runtime.batching.answers import finite_rows, is_finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_with_what_is_no_number_are_found_in_every_output(bad: float) -> None:
    first, second = np.ones((4, 2, 3), np.float32), np.ones((4,), np.float16)
    first[1, 1, 2] = second[3] = bad
    outputs: Arrays = {"first": first, "second": second, "index": np.arange(4)}
    assert not is_finite(outputs)
    assert finite_rows(outputs).tolist() == [True, False, True, False]


def test_whole_numbers_are_always_finite() -> None:
    assert is_finite({"index": np.arange(4), "yes": np.array([True])})
