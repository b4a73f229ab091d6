"""The first layers of a model tell which pixels it was trained on: in every way in which people write them, or not."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from splitway.splitter.graph import Graph, Step
from splitway.splitter.readers.keras_graph import read_keras
from splitway.splitter.readers.saved_model import load_saved_model
from splitway.splitter.scaling import AS_PIXELS, SIGNED, UNIT, Range, read_scaling

layers = keras.layers
applications = keras.applications
Scale = Callable[[Any], Any]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "variance": [0.229**2, 0.224**2, 0.225**2]}


class Foreign(keras.layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return x / 255


def of_pictures(scale: Scale) -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 3, name="conv")(scale(pixels))
    return keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def augmented(x: Any) -> Any:
    return keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.2), layers.RandomContrast(0.2)])(x)


def in_a_nested_model(x: Any) -> Any:
    y = keras.Input((8, 8, 3))
    return keras.Model(y, layers.Rescaling(1 / 255)(y), name="nested")(layers.ZeroPadding2D()(layers.Resizing(6, 6)(x)))


def of_two_kinds(x: Any) -> Any:
    return layers.Concatenate()([x, x / 255.0])


def in_two_branches(x: Any) -> Any:
    as_they_are = layers.Conv2D(2, 1, name="other")(x)
    return layers.Add(name="sum")([as_they_are, layers.Conv2D(2, 1, name="unit")(layers.Rescaling(1 / 255)(x))])


@pytest.mark.parametrize(
    ("scale", "expected", "by"),
    [
        (layers.Rescaling(1 / 255, name="scale"), AS_PIXELS, "'scale' (Rescaling) makes 0:1 of 0:255"),
        (layers.Rescaling(1 / 127.5, -1), AS_PIXELS, "makes -1:1 of 0:255"),
        (layers.Rescaling(1 / 128, -127 / 128), AS_PIXELS, "makes -0.9922:1 of 0:255"),
        (layers.Rescaling(255), UNIT, "makes 0:255 of 0:1"),
        (lambda x: x * 255.0, UNIT, "(Multiply) makes 0:255 of 0:1"),
        (lambda x: x * 2 - 1, UNIT, "(Multiply) and"),
        (lambda x: (x + 1) / 2, SIGNED, "make 0:1 of -1:1"),
        (layers.Rescaling(127.5, 127.5), SIGNED, "makes 0:255 of -1:1"),
        (applications.mobilenet_v2.preprocess_input, AS_PIXELS, "(TrueDivide) and"),
        (applications.densenet.preprocess_input, AS_PIXELS, "make -2.118:2.64 of 0:255"),
        (applications.resnet.preprocess_input, AS_PIXELS, "(Add) makes -123.7:151.1 of 0:255"),
        (lambda x: x[..., ::-1] / 255.0, AS_PIXELS, "(TrueDivide) makes"),
        (layers.Normalization(mean=[120.0] * 3, variance=[3600.0] * 3), AS_PIXELS, "(Normalization) makes -2:2.25"),
        (layers.Normalization(**IMAGENET), UNIT, "makes -2.118:2.64 of 0:1"),
        (layers.Normalization(mean=[-0.03, -0.09, -0.19], variance=[0.2] * 3), SIGNED, "of -1:1"),
        (lambda x: layers.Rescaling(1 / 255, dtype="mixed_float16")(augmented(x)), AS_PIXELS, "makes 0:1 of 0:255"),
        (in_a_nested_model, AS_PIXELS, "'nested/rescaling"),
        (lambda x: x, None, "begins with 'conv' (Conv2D)"),
        (augmented, None, "begins with 'conv' (Conv2D)"),
        (layers.BatchNormalization(name="bn"), None, "begins with 'bn' (BatchNormalization)"),
        (Foreign(name="own"), None, "begins with 'own' (Foreign)"),
        (layers.Rescaling(0.01, offset=3.0), None, "makes 3:5.55 of 0:255"),
        (layers.Normalization(mean=[0.13] * 3, variance=[0.31**2] * 3), None, "(Normalization) makes"),
        (layers.Normalization(mean=[0.6] * 3, variance=[0.5**2] * 3), None, "(Normalization) makes"),
        (of_two_kinds, None, "makes of 0:255 0:255 for 'conv' (Conv2D) and 0:1 for 'conv' (Conv2D)"),
        (in_two_branches, None, "makes of 0:255 0:255 for 'other' (Conv2D) and 0:1 for 'unit' (Conv2D)"),
        (lambda x: (255.0 - x) / 255.0, AS_PIXELS, "make 1:0 of 0:255"),
        (lambda x: layers.Rescaling(1 / 127.5, -1)(255.0 - x), AS_PIXELS, "make 1:-1 of 0:255"),
        (lambda x: 1.0 - x, UNIT, "makes 1:0 of 0:1"),
        (lambda x: -x, None, "makes 0:-255 of 0:255"),
        (keras.ops.tanh, None, "begins with"),
    ],
    ids=[
        *("255", "127.5", "128", "to pixels", "times", "to signed", "from signed", "signed to pixels", "tf", "torch"),
        *(
            "caffe",
            "flipped",
            "normalised",
            "of ImageNet",
            "of signed",
            "augmented",
            "nested",
            "nothing",
            "only random",
        ),
        *("batch norm", "foreign", "odd numbers", "unclear", "bright", "two kinds", "two branches"),
        *("upside down", "signed upside down", "unit upside down", "negative", "not straight"),
    ],
)
def test_the_range_is_told_by_what_stands_behind_the_input(scale: Scale, expected: Range | None, by: str) -> None:
    scaling = read_scaling(read_keras(of_pictures(scale)))
    assert scaling.range == expected
    assert by in scaling.found


def _times(factor: float, values: Sequence[Any]) -> list[Any]:
    return [values[0] * factor]


def test_many_steps_on_a_large_picture_take_little_memory() -> None:
    graph, side = Graph(), 256
    wire = graph.wire((None, side, side, 3), "float32")
    graph.inputs["pixels"] = wire
    for number in range(20):
        made = graph.wire((None, side, side, 3), "float32")
        scale = partial(_times, 1 / 255 if number == 0 else 1.0)
        graph.steps.append(Step(f"step_{number}", "Multiply", (wire,), (made,), scale, None, plain=True))
        wire = made
    graph.steps.append(Step("end", "Conv2D", (wire,), (), lambda _: [], None))
    tracemalloc.start()
    scaling = read_scaling(graph)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scaling.range == AS_PIXELS
    pictures = 4 * side * side * 3 * np.float32().nbytes
    assert most < 4 * pictures  # what a step takes and what it gives, and room to look at it


@pytest.mark.parametrize("name", ["EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny", "MobileNetV3Small"])
def test_applications_that_scale_inside_take_pixels_as_they_are(name: str) -> None:
    model = getattr(applications, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
    assert read_scaling(read_keras(model)).range == AS_PIXELS


def test_a_saved_model_of_operations_tells_it_too(tmp_path: Path) -> None:
    module = tf.Module()
    module.kernel = tf.Variable(tf.ones((3, 3, 3, 2)))

    def run(pixels: Any) -> dict[str, Any]:
        scaled = tf.reverse(pixels, [-1]) / 127.5 - 1.0
        return {"sum": tf.reduce_sum(tf.nn.conv2d(scaled, module.kernel, 1, "SAME"), [1, 2])}

    served = tf.function(run, input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32, name="pixels")])
    tf.saved_model.save(module, str(tmp_path), signatures=served.get_concrete_function())
    assert read_scaling(load_saved_model(tmp_path).graph).range == AS_PIXELS


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(layers.Normalization(**IMAGENET), UNIT), (layers.BatchNormalization(), None)],
    ids=["normalised", "batch norm"],
)
def test_a_saved_model_tells_what_was_given_and_not_what_was_learnt(
    tmp_path: Path, scale: Scale, expected: Range | None
) -> None:
    of_pictures(scale).export(str(tmp_path), verbose=False)
    assert read_scaling(load_saved_model(tmp_path).graph).range == expected
