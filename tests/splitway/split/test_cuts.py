"""Every cut of a model: what crosses it, how much stays on either side, and why some cannot be made."""

from __future__ import annotations

import re
from typing import Any

import keras
import pytest

from splitway.errors import ModelError
from splitway.split.cuts import CutOption, best_cut, find_cuts, ranked
from splitway.split.keras_graph import read_keras

layers = keras.layers


def cuts_of(model: keras.Model) -> list[CutOption]:
    return find_cuts(read_keras(model))


def by_name(model: keras.Model) -> dict[str, CutOption]:
    return {cut.layer: cut for cut in cuts_of(model)}


def picture(*shape: int) -> Any:
    return keras.Input(shape or (8, 8, 3), name="picture")


def plain() -> keras.Model:
    x = pixels = picture()
    x = layers.Conv2D(4, 3, padding="same", name="conv")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = layers.Dense(10, name="logits")(x)
    return keras.Model(pixels, layers.Softmax(name="softmax")(x), name="plain")


def residual() -> keras.Model:
    pixels = picture()
    stem = layers.Conv2D(4, 3, padding="same", name="stem")(pixels)
    inner = layers.Conv2D(4, 3, padding="same", name="inner")(stem)
    x = layers.Add(name="add")([stem, inner])
    return keras.Model(pixels, layers.Dense(3, name="head")(layers.Flatten(name="flatten")(x)))


def test_what_crosses_a_plain_model_is_one_tensor() -> None:
    cuts = by_name(plain())
    assert list(cuts) == ["conv", "pool", "dropout", "logits", "softmax"]
    assert [len(cut.tensors) for cut in cuts.values()] == [1, 1, 1, 1, 0]
    assert [cut.bytes_per_row for cut in cuts.values()] == [8 * 8 * 4 * 4, 16, 16, 40, 0]
    assert cuts["softmax"].why_not == "nothing is left for the head"


def test_flops_and_parameters_are_shared_out() -> None:
    model = plain()
    work = {step.name: step.flops for step in read_keras(model).steps}
    assert work == {"conv": 2 * 3 * 3 * 3 * 4 * 64, "pool": 4, "dropout": 0, "logits": 2 * 4 * 10, "softmax": 10}
    cuts = by_name(model)
    assert cuts["pool"].parameters_before == pytest.approx(112 / (112 + 50))
    assert cuts["pool"].flops_before == pytest.approx((work["conv"] + 4) / sum(work.values()))
    assert cuts["logits"].parameters_before == 1


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.DepthwiseConv2D(3, padding="same"), (8, 8, 5), 2 * 9 * 5 * 64),
        (layers.SeparableConv2D(7, 3, padding="same"), (8, 8, 5), 2 * (9 * 5 + 5 * 7) * 64),
        (layers.Conv2DTranspose(6, 2, strides=2), (4, 4, 3), 2 * 4 * 3 * 6 * 16),
        (layers.Dense(6), (5, 4), 2 * 4 * 6 * 5),
        (layers.BatchNormalization(), (5, 4), 20),
        (layers.SimpleRNN(6), (5, 4), 2 * (4 * 6 + 6 * 6) * 5),
        (layers.ReLU(), (5, 4), 20),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.layers.Layer) else None,
)
def test_flops_of_layers_of_many_kinds(layer: Any, shape: tuple[int, ...], expected: int) -> None:
    inputs = keras.Input(shape)
    (step,) = read_keras(keras.Model(inputs, layer(inputs))).steps
    assert step.flops == expected


def test_a_cut_in_the_middle_of_a_skip_connection_has_two_tensors() -> None:
    cuts = by_name(residual())
    assert [len(cuts[name].tensors) for name in ("stem", "inner", "add")] == [1, 2, 1]
    assert cuts["inner"].bytes_per_row == 2 * cuts["stem"].bytes_per_row
    assert cuts["inner"].why_not is None


def test_the_best_cut_leaves_something_to_train_and_little_to_send() -> None:
    assert [cut.layer for cut in ranked(cuts_of(plain()))] == ["pool", "dropout", "conv", "logits"]
    assert ranked(cuts_of(residual()))[0].layer == "add"


def test_a_nested_model_is_opened() -> None:
    pixels = picture()
    inside = picture()
    inner = keras.Model(inside, layers.Conv2D(4, 3, name="conv")(inside), name="backbone")
    model = keras.Model(pixels, layers.Dense(2, name="head")(layers.Flatten(name="flatten")(inner(pixels))))
    assert list(by_name(model)) == ["backbone/conv", "flatten", "head"]
    assert by_name(model)["backbone/conv"].why_not is None


def test_a_sequential_model_is_as_good_as_a_functional_one() -> None:
    model = keras.Sequential([picture(), layers.Flatten(name="flatten"), layers.Dense(2, name="head")])
    assert [cut.layer for cut in ranked(cuts_of(model))] == ["flatten"]


def _skip_from_the_input() -> keras.Model:
    pixels = picture()
    x = layers.Conv2D(3, 3, padding="same", name="here")(pixels)
    return keras.Model(pixels, layers.ReLU()(layers.Add()([pixels, x])))


def _shared() -> keras.Model:
    pixels, conv = picture(), layers.Conv2D(3, 3, padding="same", name="here")
    return keras.Model(pixels, layers.Flatten()(conv(conv(pixels))))


def _early_output() -> keras.Model:
    pixels = picture()
    early = layers.Flatten(name="here")(pixels)
    return keras.Model(pixels, [early, layers.Dense(2)(early)])


def _unknown_rows() -> keras.Model:
    pixels = keras.Input((None, None, 3))
    x = layers.Conv2D(3, 3, name="here")(pixels)
    return keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def _masked() -> keras.Model:
    words = keras.Input((7,), dtype="int32")
    x = layers.Embedding(10, 4, mask_zero=True, name="here")(words)
    return keras.Model(words, layers.Dense(2)(layers.LSTM(3)(x)))


def _shared_around() -> keras.Model:
    pixels, shared = picture(), layers.Conv2D(3, 3, padding="same", name="shared")
    return keras.Model(pixels, layers.Flatten()(shared(layers.ReLU(name="here")(shared(pixels)))))


def _with_lambda() -> keras.Model:
    pixels = picture()
    x = layers.Flatten(name="here")(pixels)
    return keras.Model(pixels, layers.Dense(2)(layers.Lambda(lambda value: value * 2)(x)))


def test_inputs_and_early_outputs_may_cross() -> None:
    for make, tensors in ((_skip_from_the_input, 2), (_early_output, 1)):
        cut = by_name(make())["here"]
        assert (cut.why_not, len(cut.tensors)) == (None, tensors)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_shared, "used 2 times"),
        (_unknown_rows, r"rows of unknown shape \?x\?x3"),
        (_with_lambda, "is a Lambda: it carries code"),
        (_masked, "carries a mask"),
        (_shared_around, "goes through 'shared'"),
    ],
)
def test_why_a_layer_cannot_be_cut(make: Any, reason: str) -> None:
    why_not = by_name(make())["here"].why_not
    assert why_not is not None
    assert re.search(reason, why_not), why_not


def test_without_a_cut_it_says_why() -> None:
    with pytest.raises(ModelError, match=r"no layer of this model can be cut: .*Lambda"):
        best_cut(cuts_of(_with_lambda()))


def test_a_model_without_a_graph_is_refused() -> None:
    class Subclassed(keras.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ModelError, match="not functional"):
        cuts_of(Subclassed())
