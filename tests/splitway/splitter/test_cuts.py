"""Every cut of a model: what crosses it, how much stays on either side, and why some cannot be made."""

from __future__ import annotations

import re
from typing import Any

import keras
import pytest

from splitway.errors import ModelError
from splitway.splitter.cut import cut_model
from splitway.splitter.cuts import CutOption, best_cut, find_cuts, ranked
from splitway.splitter.readers.keras_graph import read_keras
from splitway.wire.room import Room

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


def _unet(side: int, width: int) -> keras.Model:
    """Two depths with two connections around the middle, after a rescaling."""
    x = pixels = picture(side, side, 3)
    x = layers.Rescaling(1 / 255, name="rescaling")(x)
    skips = []
    for depth in (1, 2):
        x = layers.Conv2D(width * depth, 3, padding="same", activation="relu", name=f"down_{depth}")(x)
        skips.append(x)
        x = layers.MaxPooling2D(name=f"pool_{depth}")(x)
    x = layers.Conv2D(width * 4, 3, padding="same", activation="relu", name="middle")(x)
    for depth in (2, 1):
        x = layers.Concatenate(name=f"join_{depth}")([layers.UpSampling2D(name=f"up_{depth}")(x), skips[depth - 1]])
        x = layers.Conv2D(width * depth, 3, padding="same", activation="relu", name=f"decode_{depth}")(x)
    return keras.Model(pixels, layers.Conv2D(2, 1, activation="softmax", name="mask")(x))


def _table() -> keras.Model:
    """Numbers and a code that is looked up: both are next to nothing."""
    code, numbers = keras.Input((1,), dtype="int64", name="code"), keras.Input((6,), name="numbers")
    looked_up = layers.IntegerLookup(vocabulary=[3, 5, 8], output_mode="multi_hot", name="lookup")(code)
    x = layers.Concatenate(name="join")([looked_up, layers.Normalization(mean=0, variance=1, name="normal")(numbers)])
    x = layers.Dense(256, activation="relu", name="hidden_1")(x)
    x = layers.Dense(256, activation="relu", name="hidden_2")(x)
    return keras.Model([code, numbers], layers.Dense(1, activation="sigmoid", name="score")(x))


def _stack() -> keras.Model:
    """Transfer learning as tutorials have it."""
    inside = picture(16, 16, 3)
    base = keras.Model(inside, layers.Conv2D(16, 3, activation="relu", name="conv")(inside), name="base")
    x = pixels = picture(16, 16, 3)
    for layer in (layers.RandomFlip("horizontal"), layers.Rescaling(1 / 127.5, -1, name="rescaling"), base):
        x = layer(x)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D(name="pooled")(x))
    return keras.Model(pixels, layers.Dense(3, name="head")(x))


def _text() -> keras.Model:
    """Its table of words has nearly all parameters, and next to no FLOPs."""
    words = keras.Input((20,), dtype="int32")
    x = layers.Embedding(5000, 16, name="words")(words)
    x = layers.Dense(256, activation="relu", name="wide")(layers.GlobalAveragePooling1D(name="pooled")(x))
    return keras.Model(words, layers.Dense(2, name="head")(x))


@pytest.mark.parametrize(
    ("make", "best", "worst"),
    [
        (lambda: _unet(16, 4), "decode_1", "rescaling"),
        (_table, "hidden_2", "lookup"),
        (_stack, "pooled", "rescaling"),
        (_text, "wide", "words"),
    ],
)
def test_a_backbone_with_next_to_nothing_in_it_is_proposed_last(make: Any, best: str, worst: str) -> None:
    cuts = ranked(cuts_of(make()))
    assert cuts[0].layer == best
    assert cuts[0].has_a_backbone
    places = [cut.layer for cut in cuts]
    assert places.index(worst) > places.index(best)
    empty = [not cut.has_a_backbone for cut in cuts]
    assert empty == sorted(empty)


def test_a_share_of_the_flops_or_of_the_parameters_is_a_backbone_and_a_head_may_be_small() -> None:
    cuts = by_name(_text())
    assert cuts["words"].flops_before < 0.1 < cuts["words"].parameters_before
    assert cuts["words"].has_a_backbone
    assert cuts["wide"].has_a_backbone
    assert not by_name(_stack())["rescaling"].has_a_backbone


def test_of_cuts_that_cost_nearly_the_same_the_later_is_better() -> None:
    x = numbers = keras.Input((8,))
    for width in (60, 64, 62, 68):
        x = layers.Dense(width, activation="relu", name=f"wide_{width}")(x)
    cuts = ranked(cuts_of(keras.Model(numbers, layers.Dense(2, name="head")(x))))
    assert max(cut.head_ms for cut in cuts) - min(cut.head_ms for cut in cuts) < 0.01
    assert [cut.layer for cut in cuts] == ["wide_68", "wide_62", "wide_64", "wide_60"]


def test_what_costs_clearly_less_is_better_than_what_is_later() -> None:
    x = numbers = keras.Input((2000,))
    for width in (64, 1000):
        x = layers.Dense(width, activation="relu", name=f"wide_{width}")(x)
    cuts = ranked(cuts_of(keras.Model(numbers, layers.Dense(2, name="head")(x))))
    assert [cut.layer for cut in cuts] == ["wide_64", "wide_1000"]


def test_without_any_other_cut_that_fits_even_an_empty_backbone_is_proposed() -> None:
    found = find_cuts(read_keras(_unet(16, 4)), Room(max_body_bytes=3200))
    assert best_cut(found).layer == "rescaling"
    assert [cut.layer for cut in ranked(found)] == ["rescaling"]


def test_a_cut_whose_row_does_not_fit_into_a_request_cannot_be_made() -> None:
    graph = read_keras(_unet(512, 64))
    cuts = {cut.layer: cut for cut in find_cuts(graph)}
    assert cuts["down_1"].bytes_per_row == 512 * 512 * 64 * 4
    why_not = cuts["down_1"].why_not
    assert why_not is not None
    assert "takes 67108864 bytes" in why_not
    assert "at most 33554432" in why_not
    assert "SPLITWAY_MAX_BODY_BYTES" in why_not
    with pytest.raises(ModelError, match=r"cannot be cut after 'down_1': a row of what crosses takes 67108864 bytes"):
        cut_model(graph, ["down_1"])
    roomy = Room(max_body_bytes=70_000_000, max_reply_bytes=70_000_000)
    assert {cut.layer: cut for cut in find_cuts(graph, roomy)}["down_1"].why_not is None
    assert cut_model(graph, ["down_1"], roomy).layers == ("down_1",)


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
    with pytest.raises(ModelError, match=r"was never built.*begin it with keras\.Input"):
        read_keras(keras.Sequential([keras.layers.Dense(2)]))
