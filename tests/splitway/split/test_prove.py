from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.bundle import Preprocessing
from splitway.errors import ProofError
from splitway.split.prove import Pixels, proof_inputs, prove, ulp_distance

PREPROCESSING = Preprocessing(height=4, width=4, crop=1.0, resample="bilinear", range=(0, 255), datatype="FP32")
INPUTS = proof_inputs([], PREPROCESSING)


def model(pixels: Pixels) -> NDArray[np.float32]:
    """Three probabilities that depend on every pixel."""
    sums = pixels.reshape(len(pixels), -1).astype(np.float64) @ np.linspace(0, 1, 144).reshape(48, 3)
    exps = np.exp((sums - sums.max(axis=1, keepdims=True)) / 500)
    probabilities: NDArray[np.float32] = (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def test_equal_pieces_are_proved() -> None:
    proof = prove(model, model, model, INPUTS, "litert")
    assert proof.against_uncut.max_abs == 0
    assert proof.against_same_engine is not None
    assert proof.against_same_engine.max_ulp == 0
    assert proof.batch_sizes == (1, 3, 8)


def test_a_difference_over_the_tolerance_fails() -> None:
    with pytest.raises(ProofError, match=r"differ from the uncut model by 0\.0002"):
        prove(lambda x: model(x) + np.float32(2e-4), model, None, INPUTS, "litert")


def test_a_difference_in_batches_of_three_alone_fails() -> None:
    def served(pixels: Pixels) -> NDArray[np.float32]:
        return model(pixels[::-1]) if len(pixels) == 3 else model(pixels)

    with pytest.raises(ProofError):
        prove(served, model, None, INPUTS, "litert")


def test_another_first_class_fails_within_the_tolerance() -> None:
    def uncut(pixels: Pixels) -> NDArray[np.float32]:
        return np.tile(np.array([0.5, 0.5 - 1e-5, 1e-5], np.float32), (len(pixels), 1))

    with pytest.raises(ProofError, match="another class first"):
        prove(lambda x: uncut(x)[:, [1, 0, 2]], uncut, None, INPUTS, "litert")


def test_outputs_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ProofError, match="not probabilities"):
        prove(model, lambda x: model(x) * 3, None, INPUTS, "litert")


def test_ulp_distance_counts_the_floats_between() -> None:
    one = np.array([1, 0, -1, 0], np.float32)
    other = np.array([np.nextafter(np.float32(1), np.float32(2)), -0.0, -1, 1e-45], np.float32)
    assert ulp_distance(one, other).tolist() == [1, 0, 0, 1]


def test_the_inputs_are_the_same_each_time_and_hold_the_samples() -> None:
    sample = np.full((4, 4, 3), 9, np.uint8)
    first, second = (proof_inputs([sample], PREPROCESSING) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0], sample)
