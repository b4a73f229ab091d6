"""A tiny Keras model, and TensorFlow told to be quiet before it is imported."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture
def tiny_model() -> Callable[..., Any]:
    """Make a picture classifier of five classes, with a skip connection inside and one around its cut."""

    def make(*, seed: int = 1, dtype: str = "float32", last: str = "softmax") -> Any:
        import keras

        keras.utils.set_random_seed(seed)
        pixels = keras.Input((16, 16, 3), dtype=dtype, name="pixels")
        x = keras.layers.Rescaling(1 / 255, name="scale")(pixels)
        x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x)
        y = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="conv2")(x)
        x = keras.layers.Add(name="add")([x, y])
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        outputs = keras.layers.Dense(5, activation=last, name="top")(x)
        return keras.Model(pixels, outputs, name="tiny")

    return make
