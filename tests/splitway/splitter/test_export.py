"""All variables and tables that a part uses are exported, whatever layer holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from splitway.splitter.cut import cut_model
from splitway.splitter.export import export_saved_model
from splitway.splitter.readers.loaded import of_keras

layers = keras.layers


class Words(keras.layers.Layer):  # type: ignore[misc]
    """A layer of the user's own that holds a lookup deep inside."""

    def __init__(self) -> None:
        super().__init__()
        self.held = {"lookup": [layers.IntegerLookup(vocabulary=[3, 5])]}

    def call(self, x: Any) -> Any:
        return self.held["lookup"][0](x)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: layers.LSTM(3, dropout=0.3, recurrent_dropout=0.2), (4, 3)),
        (lambda: layers.Bidirectional(layers.GRU(3, dropout=0.3)), (4, 3)),
        (lambda: layers.TimeDistributed(layers.RandomHue(0.2)), (2, 6, 6, 3)),
        (lambda: keras.Sequential([layers.MixUp(), layers.RandomFlip()]), (6, 6, 3)),
        (lambda: layers.GaussianNoise(1.0), (4,)),
    ],
    ids=["lstm", "bidirectional", "time distributed", "nested", "noise"],
)
def test_layers_with_seeds_serve_as_when_not_in_training(
    tmp_path: Path, layer: Callable[[], Any], shape: tuple[int, ...]
) -> None:
    _check(tmp_path, keras.Input(shape), layer(), np.random.default_rng(1).normal(size=(3, *shape)).astype("f4"))


def test_a_table_deep_inside_a_layer_is_kept(tmp_path: Path) -> None:
    _check(tmp_path, keras.Input((2,), dtype="int64"), Words(), np.array([[3, 5], [7, 3]], np.int64))


def _check(folder: Path, x: Any, layer: Any, values: Any) -> None:
    import tensorflow as tf

    made = layers.Activation("linear", dtype="float32", name="cut")(keras.ops.cast(layer(x), "float32"))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(made)))
    part = cut_model(of_keras(model, "m").graph, ["cut"]).parts[0]
    export_saved_model(part, folder)
    served = tf.saved_model.load(str(folder)).signatures["serve"]
    name = next(iter(part.takes))
    (got,) = served(**{name: tf.constant(values)}).values()
    expected = keras.Model(x, made)(values, training=False)
    np.testing.assert_allclose(got.numpy(), np.asarray(expected), atol=1e-6)
