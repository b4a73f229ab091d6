from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.api.source import SourceOptions
from splitway.errors import ProofError
from splitway.manifest import Preprocessing
from splitway.splitter.proof.proof_inputs import picture_inputs
from splitway.splitter.proof.prove import (
    Answers,
    Question,
    are_probabilities,
    chance_named,
    check_finite,
    difference,
    prove,
    ulp_distance,
)
from splitway.splitter.readers.loaded import of_keras
from tests.splitway.cli.test_split import saved, split_here

layers = keras.layers
PREPROCESSING = Preprocessing(height=4, width=4, crop=1.0, resample="bilinear", range=(0, 255), datatype="FP32")
INPUTS = {"pixels": picture_inputs([], PREPROCESSING)}


def model(inputs: Answers) -> dict[str, NDArray[np.float32]]:
    """Three probabilities that depend on every pixel."""
    pixels = inputs["pixels"]
    sums = pixels.reshape(len(pixels), -1).astype(np.float64) @ np.linspace(0, 1, 144).reshape(48, 3)
    exps = np.exp((sums - sums.max(axis=1, keepdims=True)) / 500)
    probabilities: NDArray[np.float32] = (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)
    return {"probabilities": probabilities}


EXPECTED = model(INPUTS)


def test_equal_pieces_are_proved() -> None:
    proof = prove(model, Question(INPUTS, model(INPUTS)), "litert", model(INPUTS))
    assert proof.against_uncut.max_abs == 0
    assert proof.against_same_engine is not None
    assert proof.against_same_engine.max_ulp == 0
    assert proof.against_same_engine.ulp_histogram == {"0": 3 * len(INPUTS["pixels"])}
    assert proof.batch_sizes == (1, 3, 8)


def test_a_difference_over_the_tolerance_fails() -> None:
    with pytest.raises(ProofError, match=r"differ from the uncut model by 0\.0002"):
        prove(
            lambda x: {"probabilities": model(x)["probabilities"] + np.float32(2e-4)}, Question(INPUTS, EXPECTED), "x"
        )


def test_a_difference_in_batches_of_three_alone_fails() -> None:
    def served(inputs: Answers) -> dict[str, NDArray[np.float32]]:
        pixels = inputs["pixels"]
        return model({"pixels": pixels[::-1]}) if len(pixels) == 3 else model(inputs)

    with pytest.raises(ProofError):
        prove(served, Question(INPUTS, EXPECTED), "litert")


def test_another_first_class_fails_within_the_tolerance() -> None:
    prove_swapped(lead=1e-7)  # no preference, only rounding
    with pytest.raises(ProofError, match="another class first"):
        prove_swapped(lead=1e-5)


def prove_swapped(*, lead: float) -> None:
    """Let the pieces swap the first two classes, of which one leads by so much."""

    def uncut(inputs: Answers) -> NDArray[np.float32]:
        return np.tile(np.array([0.5, 0.5 - lead, lead], np.float32), (len(inputs["pixels"]), 1))

    expected = {"probabilities": uncut(INPUTS)}
    prove(lambda x: {"probabilities": uncut(x)[:, [1, 0, 2]]}, Question(INPUTS, expected), "litert")


def test_numbers_beyond_one_may_differ_by_a_share_of_the_largest() -> None:
    expected = {"y": 1000 * model(INPUTS)["probabilities"]}

    def served(inputs: Answers) -> dict[str, NDArray[np.float32]]:
        return {"y": 1000 * model(inputs)["probabilities"] + off}

    off = np.float32(0.02)
    prove(served, Question(INPUTS, expected), "litert")
    off = np.float32(0.2)
    with pytest.raises(ProofError, match=r"differ from the uncut model by 0\.2"):
        prove(served, Question(INPUTS, expected), "litert")


def test_what_are_probabilities() -> None:
    probabilities = model(INPUTS)["probabilities"]
    assert are_probabilities({"anything": probabilities})
    assert not are_probabilities({"anything": probabilities * 3})
    assert not are_probabilities({"anything": probabilities - 1 / 3})
    assert not are_probabilities({"a": probabilities, "b": probabilities})
    assert not are_probabilities({"a": np.ones((2, 1), np.float32)})


def test_a_model_that_gives_nan_cannot_be_proved() -> None:
    with pytest.raises(ProofError, match="NaN or infinity in 'y'"):
        check_finite({"y": np.array([1, np.nan], np.float32)})


def test_differences_of_several_outputs_are_taken_together() -> None:
    one = {"a": np.zeros((1, 3), np.float32), "b": np.ones((1, 2), np.float32)}
    other = {"a": np.zeros((1, 3), np.float32), "b": np.array([[1, 1 + 5 * 2**-23]], np.float32)}
    found = difference(one, other)
    assert (found.max_ulp, found.top1_equal, found.ulp_histogram) == (5, None, {"0": 4, "4-7": 1})


def test_ulp_distance_counts_the_floats_between() -> None:
    one = np.array([1, 0, -1, 0], np.float32)
    other = np.array([np.nextafter(np.float32(1), np.float32(2)), -0.0, -1, 1e-45], np.float32)
    assert ulp_distance(one, other).tolist() == [1, 0, 0, 1]


def test_the_inputs_are_the_same_each_time_and_hold_the_samples() -> None:
    sample = np.full((4, 4, 3), 9, np.uint8)
    first, second = (picture_inputs([sample], PREPROCESSING) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0], sample)


@pytest.mark.parametrize(
    ("got", "wanted", "says"),
    [
        (np.zeros((9, 2), np.float32), np.full((9, 2), 9e-5, np.float32), "by 9e-05 in 'y'"),
        (np.full(9, 30001), np.full(9, 30000), "must be equal exactly"),
        (np.zeros(9, bool), np.ones(9, bool), "must be equal exactly"),
        (np.full((9, 1), 350.05, np.float32), np.full((9, 1), 350, np.float32), r"at most 0\.035 is allowed"),
    ],
)
def test_what_is_no_proof(got: NDArray[Any], wanted: NDArray[Any], says: str) -> None:
    with pytest.raises(ProofError, match=says):
        prove(lambda x: {"y": got[: len(x["x"])]}, Question({"x": np.zeros((9, 1))}, {"y": wanted}), "litert")


def test_logits_may_differ_by_a_share_and_whole_numbers_not_at_all() -> None:
    wanted = {"y": np.full((9, 1), 350, np.float32), "ids": np.full(9, 30000)}

    def served(inputs: Answers) -> Answers:
        rows = len(inputs["x"])
        return {"y": wanted["y"][:rows] + np.float32(0.03), "ids": wanted["ids"][:rows]}

    assert prove(served, Question({"x": np.zeros((9, 1))}, wanted), "litert").tolerance == pytest.approx(0.035)


@pytest.mark.parametrize("shape", [(9,), (9, 2, 3, 1), (9, 4)])
def test_an_output_called_probabilities_need_not_be_any(shape: tuple[int, ...]) -> None:
    wanted = {"probabilities": np.full(shape, 3, np.float32)}
    inputs = {"x": np.zeros((9, 1))}
    proof = prove(
        lambda x: {"probabilities": wanted["probabilities"][: len(x["x"])]}, Question(inputs, wanted), "litert"
    )
    assert proof.against_uncut.top1_equal is None


@keras.saving.register_keras_serializable("chance")
class Sampling(keras.layers.Layer):  # type: ignore[misc]
    """As in a variational autoencoder: draws also when it answers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(7)

    def call(self, mean: Any) -> Any:
        return mean + keras.random.normal(keras.ops.shape(mean), seed=self.seed_generator)


def _autoencoder(drawn: Any) -> keras.Model:
    x = keras.Input((6,), name="x")
    mean = layers.Dense(4, name="mean")(layers.Dropout(0.5)(layers.Dense(8, activation="relu", name="h")(x)))
    return keras.Model(x, layers.Dense(6, name="decoded")(drawn(mean)))


def test_a_model_that_answers_by_chance_is_refused_with_the_layer_that_draws(tmp_path: Path) -> None:
    path = saved(_autoencoder(Sampling(name="sampling")), tmp_path / "m.keras")
    with pytest.raises(ProofError) as caught:
        split_here(path, tmp_path / "models", "h", source=SourceOptions(custom_objects=__name__))
    said = str(caught.value)
    assert said.startswith("two runs of the uncut model on the same input give different answers, so no cut can be")
    assert "'sampling' draws random numbers when it answers; save it with a layer there that draws none" in said


def test_where_a_model_answers_alike_the_proofs_own_words_stay() -> None:
    model = of_keras(_autoencoder(layers.Activation("relu")), "m")
    with (
        pytest.raises(ProofError, match=r"^the pieces differ$"),
        chance_named(model.graph, model.run, {"x": np.ones((3, 6), np.float32)}),
    ):
        raise ProofError("the pieces differ")
