"""Which numbers an input may be: told by the layers, and believed where the model bears it out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from splitway.splitter.proof.proof_inputs import find_ranges, tensor_inputs
from splitway.splitter.readers.keras_graph import read_keras
from splitway.splitter.readers.loaded import of_keras

layers = keras.layers


class Positions(keras.layers.Layer):  # type: ignore[misc]
    """Words and where they stand, as Keras's tutorials have it: the smaller of its tables is not what it takes."""

    def __init__(self, words: int, length: int, **options: Any) -> None:
        super().__init__(**options)
        self.words, self.length = words, length
        self.table, self.places = layers.Embedding(words, 3), layers.Embedding(length, 3)

    def call(self, x: Any) -> Any:
        return self.table(x) + self.places(keras.ops.arange(self.length))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "words": self.words, "length": self.length}


class Wide(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer whose author noted how many numbers it takes."""

    def __init__(self, input_dim: int, **options: Any) -> None:
        super().__init__(**options)
        self.input_dim = input_dim
        self.kernel = self.add_weight(shape=(input_dim, 3))

    def call(self, x: Any) -> Any:
        return keras.ops.matmul(keras.ops.cast(x, "float32"), self.kernel)


def model_of(*steps: Any, shape: tuple[int, ...] = (5,), dtype: str = "int32") -> keras.Model:
    """These steps one after the other, and a head."""
    x = begin = keras.Input(shape, dtype=dtype, name="x")
    for step in steps:
        x = step(x)
    x = x if len(x.shape) == 2 else layers.Flatten()(x)
    return keras.Model(begin, layers.Dense(2)(keras.ops.cast(x, "float32")))


def range_of(model: keras.Model) -> tuple[int, int] | None:
    loaded = of_keras(model, "m")
    found = find_ranges(loaded.graph, loaded.run)
    assert len(found) <= 1
    return next(iter(found.values()), None)


def lookup(unknown: int, **options: Any) -> Any:
    return layers.IntegerLookup(vocabulary=[5, 6, 9], num_oov_indices=unknown, output_mode="multi_hot", **options)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (model_of(layers.Embedding(7, 2)), (0, 6)),
        (model_of(layers.Embedding(7, 2), dtype="float32"), (0, 6)),
        (model_of(layers.Embedding(7, 2), shape=(400,)), (0, 6)),
        (model_of(layers.Reshape((5, 1)), layers.Embedding(7, 2)), (0, 6)),
        (model_of(keras.Sequential([keras.Input((5,), dtype="int32"), layers.Embedding(7, 2)])), (0, 6)),
        (model_of(Positions(70, 5)), (0, 69)),
        (model_of(lookup(0)), (5, 9)),
        (model_of(lookup(1)), None),
        (model_of(lambda x: x[:, 1:], layers.Embedding(7, 2)), None),
        (model_of(lambda x: x[:, :1], layers.Embedding(7, 2)), None),
        (model_of(lambda x: x // 2, layers.Embedding(7, 2)), None),
        (model_of(lambda x: x + 2, layers.Embedding(7, 2)), None),
        (model_of(layers.Discretization([0.0, 1.0]), layers.Embedding(4, 2), dtype="float32"), None),
        (model_of(layers.Embedding(256, 2), dtype="uint8"), None),
        (model_of(Wide(5), dtype="float32"), None),
        (model_of(layers.Dense(3), dtype="float32"), None),
    ],
    ids=range(16),
)
def test_a_range_is_what_the_model_fails_beyond(model: keras.Model, expected: tuple[int, int] | None) -> None:
    assert range_of(model) == expected


def test_each_input_has_its_own() -> None:
    one, two = keras.Input((1,), dtype="int32", name="one"), keras.Input((2,), dtype="int32", name="two")
    three = keras.Input((3,), name="three")
    joined = [layers.Flatten()(layers.Embedding(n, 2)(x)) for n, x in ((4, one), (9, two))]
    loaded = of_keras(keras.Model([one, two, three], layers.Dense(1)(layers.Concatenate()([*joined, three]))), "m")
    found = find_ranges(loaded.graph, loaded.run)
    assert {name: found.get(wire.number) for name, wire in loaded.graph.inputs.items()} == {
        "one": (0, 3),
        "two": (0, 8),
        "three": None,
    }


def test_random_inputs_stay_in_the_range_and_use_all_of_it() -> None:
    loaded = of_keras(model_of(Positions(70, 5)), "m")
    assert tensor_inputs(loaded.graph, 200)["x"].max() == 4  # as long as nothing is known, the smallest table
    loaded.graph.ranges = find_ranges(loaded.graph, loaded.run)
    numbers = tensor_inputs(loaded.graph, 200)["x"]
    assert (numbers.min(), numbers.max()) == (0, 69)


def test_random_inputs_of_a_lookup_are_its_words_and_where_it_takes_it_an_unknown_one() -> None:
    assert set(np.unique(tensor_inputs(read_keras(model_of(lookup(0))), 50)["x"])) == {5, 6, 9}
    assert set(np.unique(tensor_inputs(read_keras(model_of(lookup(1))), 50)["x"])) == {5, 6, 9, 10}
    back = layers.IntegerLookup(vocabulary=[5, 6, 9], invert=True)
    assert set(np.unique(tensor_inputs(read_keras(model_of(back)), 50)["x"])) == {0, 1, 2, 3}
