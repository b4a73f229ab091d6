"""What a head's numbers mean, told by the last layer, by the numbers, or by the user."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from splitway.api.answering import head_of, refuse_early
from splitway.api.wanted import Wanted
from splitway.errors import ModelError, SetupError
from splitway.splitter.graph import Graph
from splitway.splitter.pack import HeadAnswers
from splitway.splitter.readers.keras_graph import read_keras

layers = keras.layers
LOGITS = np.array([[-2.0, 0.5, 3.0], [1.0, 4.0, -1.0]], np.float32)
SHARES = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], np.float32)
SEVERAL = np.array([[0.9, 0.8, 0.1], [0.1, 0.1, 0.2]], np.float32)
ABC, TWO, ONE = ["a", "b", "c"], ["no", "yes"], ["yes"]


def graph_of(count: int = 3, activation: str | None = None, *, told: bool = True) -> Graph:
    x = keras.Input((4,))
    made = layers.Dense(count, activation=activation, name="last")(x)
    return read_keras(keras.Model(x, made if told else layers.Add()([made, made])))


def ending_in(layer: Any) -> Graph:
    x = keras.Input((4,))
    return read_keras(keras.Model(x, layer(layers.Dense(3, name="last")(x))))


def asked(wanted: Wanted, graph: Graph, array: Any) -> HeadAnswers:
    refuse_early(wanted, graph)
    return head_of(wanted, graph, {"last": array})


@pytest.mark.parametrize(
    ("wanted", "graph", "array", "found"),
    [
        (Wanted(ABC), graph_of(activation="softmax"), SHARES, HeadAnswers(ABC)),
        (Wanted(ABC), graph_of(told=False), SHARES, HeadAnswers(ABC)),
        (Wanted(), graph_of(activation="softmax"), SHARES, HeadAnswers()),
        (Wanted(), graph_of(), LOGITS, HeadAnswers()),
        (Wanted(), graph_of(activation="sigmoid"), SEVERAL, HeadAnswers()),
        (Wanted(ABC, "softmax"), graph_of(), LOGITS, HeadAnswers(ABC, ("softmax",))),
        (Wanted(ABC, "sigmoid"), graph_of(), LOGITS, HeadAnswers(ABC, ("sigmoid",), 0.5)),
        (Wanted(ABC, "sigmoid", 0.0), graph_of(), LOGITS, HeadAnswers(ABC, ("sigmoid",), 0.0)),
        (Wanted(ABC, "raw"), graph_of(), LOGITS, HeadAnswers()),
        (Wanted(ABC), graph_of(activation="sigmoid"), SEVERAL, HeadAnswers(ABC, (), 0.5)),
        (Wanted(ABC), graph_of(told=False), SEVERAL, HeadAnswers(ABC, (), 0.5)),
        (Wanted(ABC), graph_of(activation="hard_sigmoid"), SEVERAL, HeadAnswers(ABC, (), 0.5)),
        (Wanted(ABC), ending_in(keras.ops.hard_sigmoid), SEVERAL, HeadAnswers(ABC, (), 0.5)),
        (Wanted(ABC), graph_of(activation="sparsemax"), SHARES, HeadAnswers(ABC)),
        (Wanted(TWO), graph_of(1, "hard_sigmoid"), SEVERAL[:, :1], HeadAnswers(TWO, ("two_classes",))),
        (Wanted(threshold=0.7), graph_of(activation="sigmoid"), SEVERAL, HeadAnswers(None, (), 0.7)),
        (Wanted(TWO), graph_of(1, "sigmoid"), SEVERAL[:, :1], HeadAnswers(TWO, ("two_classes",))),
        (Wanted(TWO, "sigmoid"), graph_of(1), LOGITS[:, :1], HeadAnswers(TWO, ("sigmoid", "two_classes"))),
        (Wanted(ONE), graph_of(1, "sigmoid"), SEVERAL[:, :1], HeadAnswers(ONE, (), 0.5)),
        (Wanted(None, "sigmoid"), graph_of(1), LOGITS[:, :1], HeadAnswers(None, ("sigmoid",))),
        (Wanted(ABC, "softmax"), graph_of(told=False), SEVERAL, HeadAnswers(ABC, ("softmax",))),
        (Wanted(ABC, "softmax", None, 0.6), graph_of(), LOGITS, HeadAnswers(ABC, ("softmax",), None, 0.6)),
    ],
)
def test_what_the_numbers_mean(wanted: Wanted, graph: Graph, array: Any, found: HeadAnswers) -> None:
    assert asked(wanted, graph, array) == found


def test_labels_on_a_last_layer_without_activation_are_refused_before_the_model_is_asked() -> None:
    said = r"labels mean nothing: its last layer 'last' has no activation; add --softmax.*--sigmoid.*--raw"
    with pytest.raises(ModelError, match=said):
        refuse_early(Wanted(ABC), graph_of())
    with pytest.raises(ModelError, match="'last' ends in relu; add --softmax"):
        refuse_early(Wanted(ABC), graph_of(activation="relu"))
    with pytest.raises(ModelError, match="'top' ends in relu; add --softmax"):  # though its numbers may lie in 0..1
        refuse_early(Wanted(ABC), ending_in(layers.ReLU(max_value=1.0, name="top")))
    with pytest.raises(ModelError, match="'top' ends in softmax over axis 0; add --softmax"):
        refuse_early(Wanted(ABC), ending_in(layers.Softmax(axis=0, name="top")))
    with pytest.raises(ModelError, match="'last' is a softmax of one number, which is always 1: end it in a sigmoid"):
        refuse_early(Wanted(TWO), graph_of(1, "softmax"))


def test_where_the_layer_does_not_tell_the_numbers_do() -> None:
    refuse_early(Wanted(ABC), graph_of(told=False))
    with pytest.raises(ModelError, match="they are from -2 to 4, not from 0 to 1; add --softmax"):
        asked(Wanted(ABC), graph_of(told=False), LOGITS)


@pytest.mark.parametrize(
    ("wanted", "graph", "said"),
    [
        (Wanted(ABC, "softmax"), graph_of(activation="softmax"), "'last' ends in softmax already; leave --softmax out"),
        (Wanted(ABC, "sigmoid"), graph_of(activation="softmax"), "ends in softmax already; leave --sigmoid out"),
        (Wanted(ABC, None, 0.5), graph_of(activation="softmax"), "of this model's classes one is"),
        (Wanted(TWO, None, 0.5), graph_of(1, "sigmoid"), "one number with two labels is two classes"),
        (Wanted(None, "softmax"), graph_of(1), "softmax of one number is always 1"),
        (Wanted(None, None, None, 0.5), graph_of(), "--unsure-below is for a head that gives labels"),
    ],
)
def test_options_that_make_no_sense_for_a_model_are_refused(wanted: Wanted, graph: Graph, said: str) -> None:
    with pytest.raises(SetupError, match=said):
        refuse_early(wanted, graph)


def test_numbers_that_add_up_to_one_already_need_no_softmax() -> None:
    with pytest.raises(SetupError, match="its numbers add up to 1 already"):
        asked(Wanted(ABC, "softmax"), graph_of(told=False), SHARES)


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_labels_is_refused(count: int) -> None:
    with pytest.raises(ModelError, match=f"{count} labels? for the model's 3 classes"):
        refuse_early(Wanted(["x"] * count), graph_of(activation="softmax"))


def test_labels_are_for_one_output() -> None:
    x = keras.Input((4,))
    graph = read_keras(keras.Model(x, [layers.Dense(3)(x), layers.Dense(2)(x)]))
    with pytest.raises(ModelError, match="so labels mean nothing"):
        refuse_early(Wanted(ABC), graph)
    with pytest.raises(SetupError, match="--softmax is for a model with one output"):
        refuse_early(Wanted(None, "softmax"), graph)
    refuse_early(Wanted(ABC, "raw"), graph)
    refuse_early(Wanted(), graph)
    named = read_keras(
        keras.Model(x, {"aux": layers.Dense(2)(x), "probabilities": layers.Dense(3, activation="softmax")(x)})
    )
    refuse_early(Wanted(ABC), named)
    assert head_of(Wanted(ABC), named, {"aux": LOGITS, "probabilities": SHARES}) == HeadAnswers(ABC)
    with pytest.raises(ModelError, match="2 labels for the model's 3 classes"):
        refuse_early(Wanted(TWO), named)
