"""The caller is told which row of which tensor the model cannot answer."""

from __future__ import annotations

import numpy as np
import pytest

from splitway.errors import UnfitInput
from splitway.manifest import TensorEntry
from splitway.runtime.batching.unfit import Unfit, check_range, explain, is_finite, renamed
from splitway.wire.tensor import Arrays

IDS = TensorEntry(name="ids", datatype="INT32", shape=(-1, 3), range=(0, 49))


def test_the_row_that_raises_is_found_by_halves() -> None:
    runs: list[int] = []

    def fails(inputs: Arrays) -> bool:
        runs.append(len(inputs["x"]))
        return bool((inputs["x"] == 50).any())

    for bad in range(7):
        x = np.arange(7)
        x[bad:] = 50
        runs.clear()
        error = explain(Unfit(reason="out of bounds"), {"x": x}, fails)
        assert (error.row, error.private) == (bad, "out of bounds")
        assert error.detail == f"x: row {bad} has 50: the model fails on it; send other values"
        assert sum(runs) <= 7  # all of it costs no more than the run that failed


def test_the_row_that_is_not_finite_is_named_with_its_values() -> None:
    outputs = {"y": np.array([[1.0], [np.nan], [np.inf]], np.float32)}
    x = np.array([[1, 2], [3e38, -3e38], [0, 0]], np.float32)
    error = explain(Unfit(outputs=outputs), {"x": x}, lambda _: False)
    assert error.row == 1
    assert error.detail.startswith("x: row 1 has numbers from -3e+38 to 3e+38: the model gives NaN or infinity")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_with_what_is_no_number_are_found_in_every_output(bad: float) -> None:
    first, second = np.ones((4, 2, 3), np.float32), np.ones((4,), np.float16)
    second[3] = bad
    outputs: Arrays = {"first": first, "second": second, "index": np.arange(4)}
    assert not is_finite(outputs)
    assert explain(Unfit(outputs=outputs), {"x": np.zeros(4)}, lambda _: False).row == 3
    first[1, 1, 2] = bad
    assert explain(Unfit(outputs=outputs), {"x": np.zeros(4)}, lambda _: False).row == 1


def test_whole_numbers_are_always_finite() -> None:
    assert is_finite({"index": np.arange(4), "yes": np.array([True])})


def test_of_several_tensors_the_one_at_fault_is_named() -> None:
    inputs = {"numbers": np.ones((2, 3), np.float32), "ids": np.array([[1], [70]], np.int32)}
    error = explain(Unfit(), inputs, lambda part: bool((part["ids"] > 50).any()))
    assert (error.row, error.detail.partition(":")[0]) == (1, "ids")


def test_of_tensors_that_fail_together_all_are_named() -> None:
    inputs = {name: np.ones((1, 1), np.float32) for name in ("a", "b")}
    error = explain(Unfit(), inputs, lambda _: True)
    assert "a: row 0" in error.detail
    assert "b: row 0" in error.detail


def test_what_a_picture_becomes_is_not_spoken_of() -> None:
    error = explain(Unfit(), {"pixels": np.zeros((3, 2, 2, 3), np.float32)}, lambda part: len(part["pixels"]) == 1)
    assert renamed(error, "image").detail == f"image: row {error.row}: the model fails on it; send another"


def test_too_little_memory_is_no_fault_of_a_value() -> None:
    error = explain(Unfit(no_memory=True), {"x": np.zeros(64)}, lambda _: True)
    assert error.detail == "x: the model needs too much memory for 64 rows at once; send fewer"


@pytest.mark.parametrize(
    ("value", "says"),
    [(50, "ids: row 1 has 50; the model accepts 0 to 49"), (-1, "ids: row 1 has -1;"), (2**31 - 1, "2147483647")],
)
def test_what_is_outside_of_a_vocabulary_is_found_before(value: int, says: str) -> None:
    array = np.zeros((3, 3), np.int32)
    array[1, 2] = value
    with pytest.raises(UnfitInput) as raised:
        check_range(IDS, array)
    assert says in raised.value.detail
    assert raised.value.row == 1


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, np.float32, np.bool_])
def test_what_is_inside_is_taken_whatever_its_type(dtype: type[np.generic]) -> None:
    entry = TensorEntry(name="ids", datatype="INT32", shape=(-1, 2), range=(0, 1))
    check_range(entry, np.array([[0, 1]]).astype(dtype))
    check_range(entry, np.zeros((0, 2), dtype))


def test_a_fraction_counts_as_its_whole_part() -> None:
    check_range(IDS, np.array([[49.9, -0.9, 0]], np.float32))
    with pytest.raises(UnfitInput, match=r"row 0 has 50;"):
        check_range(IDS, np.array([[50.0, 0, 0]], np.float32))
    with pytest.raises(UnfitInput, match=r"has 3e\+38"):
        check_range(IDS, np.array([[3e38, 0, 0]], np.float32))


def test_the_widest_range_refuses_nothing() -> None:
    entry = TensorEntry(name="ids", datatype="INT64", shape=(-1, 2), range=(-(2**63), 2**63 - 1))
    check_range(entry, np.array([[-(2**63), 2**63 - 1]], np.int64))
    check_range(entry, np.array([[-9e18, 9e18]], np.float64))
