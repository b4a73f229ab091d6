"""What a model ends in, as its graph tells, and what is computed behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from splitway.manifest import Appended
from splitway.splitter.ending import activation_of, answers_with, appended_to, last_step
from splitway.splitter.graph import Graph, Part
from splitway.splitter.readers.keras_graph import read_keras
from splitway.splitter.readers.saved_model import load_saved_model

layers = keras.layers


def model_of(end: Any) -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, end(layers.Dense(3, name="before")(x)))


def ending(graph: Graph) -> str | None:
    (output,) = graph.outputs.values()
    return activation_of(last_step(graph, output))


class Own(keras.layers.Layer):  # type: ignore[misc]
    """A layer of which nothing is known, whatever its settings are called."""

    activation = keras.activations.softmax

    def call(self, x: Any) -> Any:
        return x * 2


@pytest.mark.parametrize(
    ("end", "named"),
    [
        (layers.Dense(3), "linear"),
        (layers.Dense(3, activation="softmax"), "softmax"),
        (layers.Softmax(), "softmax"),
        (layers.Activation("sigmoid"), "sigmoid"),
        (layers.Dense(3, activation=layers.Softmax()), "softmax"),
        (lambda x: layers.Dropout(0.5)(layers.Activation("tanh")(x)), "tanh"),
        (keras.ops.softmax, "softmax"),
        (keras.activations.sigmoid, "sigmoid"),
        (lambda x: layers.Add()([x, x]), None),
        (Own(), None),
    ],
)
def test_the_last_activation_is_read_where_the_layer_tells(end: Any, named: str | None) -> None:
    assert ending(read_keras(model_of(end))) == named


@pytest.mark.parametrize(("activation", "named"), [("softmax", "softmax"), ("sigmoid", "sigmoid"), (None, "linear")])
def test_it_is_read_from_a_saved_model_too_and_what_is_appended_runs_behind_it(
    tmp_path: Path, activation: str | None, named: str
) -> None:
    model_of(layers.Dense(3, activation=activation)).export(str(tmp_path / "m"), verbose=False)
    loaded = load_saved_model(tmp_path / "m")
    assert ending(loaded.graph) == named
    rows = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    _check(loaded.graph, ("softmax",), [rows], loaded.run({next(iter(loaded.graph.inputs)): rows}))


def _check(graph: Graph, appended: tuple[Appended, ...], inputs: list[Any], plain: Any) -> None:
    grown = appended_to(graph, appended)
    (got,) = Part(grown.inputs, tuple(grown.steps), grown.outputs).run(inputs)
    (expected,) = answers_with(plain, appended).values()
    np.testing.assert_allclose(np.asarray(got), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("appended", "count"),
    [(("softmax",), 5), (("sigmoid",), 5), (("sigmoid",), 1), (("sigmoid", "two_classes"), 1), ((), 5)],
)
def test_what_is_served_behind_a_model_is_what_numpy_makes_of_its_answers(
    appended: tuple[Appended, ...], count: int
) -> None:
    x = keras.Input((count,))
    graph = read_keras(keras.Model(x, layers.Dense(count, kernel_initializer="identity")(x)))
    rows = (np.random.default_rng(1).normal(size=(3, count)) * 50).astype(np.float32)
    _check(graph, appended, [rows], {"d": rows})


def test_numbers_that_are_too_large_for_an_exponential_are_no_trouble() -> None:
    rows = np.array([[1000.0, -1000.0]], np.float32)
    assert answers_with({"x": rows}, ("softmax",))["x"].tolist() == [[1.0, 0.0]]
    assert answers_with({"x": rows}, ("sigmoid",))["x"].tolist() == [[1.0, 0.0]]
