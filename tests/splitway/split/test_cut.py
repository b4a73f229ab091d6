from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitway.bundle import Preprocessing
from splitway.errors import ModelError
from splitway.split.cut import cut_model, feature_space, load_model

PREPROCESSING = Preprocessing(height=16, width=16, crop=1.0, resample="bilinear", range=(0, 255), datatype="FP32")
TinyModel = Callable[..., Any]


def test_the_halves_give_what_the_whole_gives(tiny_model: TinyModel) -> None:
    model = tiny_model()
    cut = cut_model(model, "pool")
    pixels = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(cut.head(cut.backbone(pixels)).numpy(), model(pixels).numpy())
    assert (cut.bytes_per_row, cut.classes) == (16, 5)


def test_a_cut_may_lie_deep_inside(tiny_model: TinyModel) -> None:
    assert cut_model(tiny_model(), "add").feature_shape == (16, 16, 4)


def test_a_nested_backbone_can_be_cut_off(tiny_model: TinyModel) -> None:
    import keras

    base = cut_model(tiny_model(), "pool").backbone
    pixels = keras.Input((16, 16, 3), name="outer")
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="new_top")(base(pixels)))
    cut = cut_model(model, "backbone")
    x = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(cut.head(cut.backbone(x)).numpy(), model(x).numpy())


def test_a_sequential_model_can_be_cut_more_than_once() -> None:
    import keras

    layers = [keras.layers.Flatten(name="flat"), keras.layers.Dense(3, name="one"), keras.layers.Dense(2, name="two")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    assert [cut_model(model, at).feature_shape for at in ("flat", "one")] == [(768,), (3,)]


def test_a_layer_that_is_used_twice_cannot_be_cut() -> None:
    import keras

    pixels = keras.Input((16, 16, 3))
    shared = keras.layers.Conv2D(3, 1, name="shared")
    x = keras.layers.GlobalAveragePooling2D()(shared(shared(pixels)))
    with pytest.raises(ModelError, match="'shared' is used 2 times"):
        cut_model(keras.Model(pixels, x), "shared")


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("conv2", "more than its output crosses"),
        ("top", "nothing is left for the head"),
        ("poll", "did you mean 'pool'"),
        ("pixels", "float32"),
    ],
)
def test_where_it_cannot_be_cut_it_says_why(tiny_model: TinyModel, at: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        cut_model(tiny_model(dtype="uint8"), at)


def test_a_lambda_is_refused(tiny_model: TinyModel) -> None:
    import keras

    model = tiny_model()
    outputs = keras.layers.Lambda(lambda x: x, name="sneaky")(model.output)
    with pytest.raises(ModelError, match="'sneaky' is a Lambda"):
        cut_model(keras.Model(model.input, outputs), "pool")


def test_inputs_that_are_no_pictures_are_refused() -> None:
    import keras

    inputs = keras.Input((30,))
    model = keras.Model(inputs, keras.layers.Dense(3, name="top")(keras.layers.Dense(4, name="hidden")(inputs)))
    with pytest.raises(ModelError, match="pictures"):
        cut_model(model, "hidden")


def test_several_outputs_are_refused(tiny_model: TinyModel) -> None:
    import keras

    model = tiny_model()
    with pytest.raises(ModelError, match="2 outputs"):
        cut_model(keras.Model(model.input, [model.output, model.output]), "pool")


def test_the_feature_space_is_the_same_for_the_same_model(tiny_model: TinyModel) -> None:
    first, second = (feature_space(cut_model(tiny_model(), "pool"), PREPROCESSING) for _ in range(2))
    assert first == second
    assert first.startswith("fs:")
    assert len(first) == 19


def test_the_feature_space_survives_saving(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    model.save(tmp_path / "m.keras")
    spaces = {feature_space(cut_model(m, "pool"), PREPROCESSING) for m in (model, load_model(tmp_path / "m.keras"))}
    assert len(spaces) == 1


def test_weights_preprocessing_and_cut_each_change_the_feature_space(tiny_model: TinyModel) -> None:
    base = tiny_model()
    nudged = tiny_model()
    kernel, bias = nudged.get_layer("conv1").get_weights()
    kernel[0, 0, 0, 0] = np.nextafter(kernel[0, 0, 0, 0], np.float32(1))
    nudged.get_layer("conv1").set_weights([kernel, bias])
    spaces = {
        feature_space(cut_model(base, "pool"), PREPROCESSING),
        feature_space(cut_model(base, "add"), PREPROCESSING),
        feature_space(cut_model(base, "pool"), PREPROCESSING.model_copy(update={"crop": 0.9})),
        feature_space(cut_model(nudged, "pool"), PREPROCESSING),
    }
    assert len(spaces) == 4


def test_a_new_head_keeps_the_feature_space(tiny_model: TinyModel) -> None:
    base, retrained = tiny_model(), tiny_model()
    retrained.get_layer("top").set_weights([np.ones((4, 5), np.float32), np.zeros(5, np.float32)])
    spaces = {feature_space(cut_model(model, "pool"), PREPROCESSING) for model in (base, retrained)}
    assert len(spaces) == 1


def test_files_that_cannot_be_loaded_are_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / "bad.keras").write_bytes(b"not a zip")
    tiny_model().save(tmp_path / "flipped.keras")
    data = bytearray((tmp_path / "flipped.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.keras").write_bytes(data)
    for name, says in (
        ("bad.keras", "cannot be loaded"),
        ("flipped.keras", "cannot be loaded"),
        ("none.keras", "no file"),
        ("m.h5", "not a .keras file"),
    ):
        with pytest.raises(ModelError, match=says):
            load_model(tmp_path / name)
