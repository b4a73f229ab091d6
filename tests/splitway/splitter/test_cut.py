from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.errors import ModelError
from splitway.manifest import Preprocessing
from splitway.splitter.cut import CutModel, cut_model, feature_space, takes_pictures
from splitway.splitter.readers.keras_graph import read_keras
from splitway.splitter.readers.source import load_model

PREPROCESSING = Preprocessing(height=16, width=16, crop=1.0, resample="bilinear", range=(0, 255), datatype="FP32")
TinyModel = Callable[..., Any]


def cut_at(model: Any, *at: str) -> CutModel:
    return cut_model(read_keras(model), at)


def space_of(model: Any, at: str, preprocessing: Preprocessing = PREPROCESSING) -> str:
    return feature_space(cut_at(model, at), 0, preprocessing)


def through(cut: CutModel, *values: NDArray[Any]) -> list[NDArray[Any]]:
    """Run the parts one after the other."""
    import tensorflow as tf

    tensors: list[Any] = [tf.constant(value) for value in values]
    for part in cut.parts:
        tensors = part.run(tensors)
    return [tensor.numpy() for tensor in tensors]


def pictures(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(0, 255, (3, *(shape or (16, 16, 3)))).astype(np.float32)


def check(model: Any, cut: CutModel, *values: NDArray[Any]) -> None:
    """Compare the parts with the uncut model, bit by bit."""
    import keras

    expected = keras.tree.flatten(model(values[0] if len(values) == 1 else list(values), training=False))
    for got, wanted in zip(through(cut, *values), expected, strict=True):
        np.testing.assert_array_equal(got, wanted.numpy())


def test_the_halves_give_what_the_whole_gives(tiny_model: TinyModel) -> None:
    model = tiny_model()
    cut = cut_at(model, "pool")
    check(model, cut, pictures())
    assert cut.bytes_per_row(0) == 16
    assert [list(part.takes) for part in cut.parts] == [["pixels"], ["features"]]


def test_a_cut_in_the_middle_of_a_skip_connection_has_two_tensors(tiny_model: TinyModel) -> None:
    model = tiny_model()
    cut = cut_at(model, "conv2")
    assert list(cut.parts[0].gives) == ["features_1", "features_2"]
    assert cut.crossing == (("conv1", "conv2"),)
    check(model, cut, pictures())


def test_several_cuts_make_stages_in_the_order_in_which_they_run(tiny_model: TinyModel) -> None:
    model = tiny_model()
    cut = cut_at(model, "pool", "conv1", "conv2")
    assert cut.layers == ("conv1", "conv2", "pool")
    assert len(cut.parts) == 4
    check(model, cut, pictures())
    spaces = {feature_space(cut, place, PREPROCESSING) for place in range(3)}
    assert len(spaces) == 3


def _nested() -> Any:
    import keras

    inside = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inside)
    base = keras.Model(inside, keras.layers.GlobalAveragePooling2D(name="pool")(x), name="backbone")
    pixels = keras.Input((16, 16, 3), name="outer")
    return keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="new_top")(base(pixels)))


@pytest.mark.parametrize("at", ["backbone", "backbone/pool", "pool", "conv"])
def test_a_nested_backbone_can_be_cut_off_or_through(at: str) -> None:
    model = _nested()
    cut = cut_at(model, at)
    assert cut.layers == ("backbone/conv" if at == "conv" else "backbone/pool",)
    check(model, cut, pictures())


def test_layers_of_the_same_name_in_two_nested_models_are_told_apart() -> None:
    import keras

    def branch(name: str) -> Any:
        inside = keras.Input((16, 16, 3))
        return keras.Model(inside, keras.layers.Conv2D(2, 3, name="conv")(inside), name=name)

    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Concatenate()([branch("left")(pixels), branch("right")(pixels)])
    model = keras.Model(pixels, keras.layers.Flatten()(x))
    check(model, cut_at(model, "right/conv"), pictures())
    with pytest.raises(ModelError, match="several layers are called 'conv': name one of left/conv, right/conv"):
        cut_at(model, "conv")


def test_a_sequential_model_can_be_cut_more_than_once() -> None:
    import keras

    layers = [keras.layers.Flatten(name="flat"), keras.layers.Dense(3, name="one"), keras.layers.Dense(2, name="two")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    check(model, cut_at(model, "flat", "one"), pictures())


def test_several_inputs_and_outputs_go_where_they_are_needed() -> None:
    """One input and one early output go past the cut."""
    import keras

    image, extra = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="extra")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(image)
    early = keras.layers.Dense(2, name="early")(x)
    joined = keras.layers.Concatenate(name="join")([early, extra])
    model = keras.Model([image, extra], [early, keras.layers.Dense(3, name="late")(joined)])
    cut = cut_at(model, "early")
    assert list(cut.parts[0].takes) == ["image", "extra"]
    assert cut.crossing == (("extra", "early"),)
    assert list(cut.parts[-1].gives) == ["early", "late"]
    assert not takes_pictures(cut.graph)
    check(model, cut, pictures(8, 8, 3), np.ones((3, 4), np.float32))


def test_operations_without_layers_and_preprocessing_layers_are_steps() -> None:
    import keras

    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], name="norm")(pixels)
    x = keras.ops.mean(keras.ops.sqrt(x * x + 1.0), axis=(1, 2))
    model = keras.Model(pixels, keras.layers.BatchNormalization(name="bn")(x) / 3.0)
    check(model, cut_at(model, "norm"), pictures())


def test_mixed_precision_travels_as_it_is() -> None:
    import keras

    policy = keras.mixed_precision.Policy("mixed_bfloat16")
    pixels = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, dtype=policy, name="conv")(pixels)
    x = keras.layers.GlobalAveragePooling2D(dtype=policy, name="pool")(x)
    model = keras.Model(pixels, keras.layers.Dense(2, activation="softmax", dtype="float32", name="top")(x))
    cut = cut_at(model, "pool")
    (wire,) = cut.parts[0].gives.values()
    assert (wire.dtype, wire.travels_as, cut.bytes_per_row(0)) == ("bfloat16", "float32", 16)
    check(model, cut, pictures())


def _lstm() -> Any:
    import keras

    words = keras.Input((7,), dtype="int32", name="words")
    x = keras.layers.Embedding(10, 4, name="embed")(words)
    return keras.Model(words, keras.layers.Dense(2, name="top")(keras.layers.LSTM(3, name="lstm")(x)))


def test_a_recurrent_layer_is_cut_before_or_after_but_not_through() -> None:
    model = _lstm()
    words = np.array([[1, 2, 3, 4, 5, 6, 7]], np.int32)
    for at in ("embed", "lstm"):
        check(model, cut_at(model, at), words)
    with pytest.raises(ModelError, match=re.escape("'lstm_cell' runs inside the layer 'lstm' (LSTM)")):
        cut_at(model, "lstm_cell")


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (["top"], "nothing is left for the head"),
        (["poll"], "did you mean 'pool'"),
        (["pixels"], "is an input of the model"),
        (["pool", "pool"], "there is nothing to run"),
        ([], "no layer is named"),
    ],
)
def test_where_it_cannot_be_cut_it_says_why(tiny_model: TinyModel, at: list[str], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        cut_at(tiny_model(dtype="uint8"), *at)


def test_a_layer_that_is_used_twice_cannot_be_cut() -> None:
    import keras

    pixels = keras.Input((16, 16, 3))
    shared = keras.layers.Conv2D(3, 1, name="shared")
    x = keras.layers.GlobalAveragePooling2D()(shared(shared(pixels)))
    with pytest.raises(ModelError, match="after 'shared': the layer is used 2 times"):
        cut_at(keras.Model(pixels, x), "shared")


def test_a_lambda_is_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    import keras

    model = tiny_model()
    outputs = keras.layers.Lambda(lambda x: x, name="sneaky")(model.output)
    model = keras.Model(model.input, outputs)
    with pytest.raises(ModelError, match="'sneaky' is a Lambda"):
        cut_at(model, "pool")
    for name, legacy in (("m.keras", False), ("m.h5", True)):
        model.save(tmp_path / name)
        with pytest.raises(ModelError, match="'sneaky' is a Lambda"):
            load_model(tmp_path / name, allow_legacy=legacy)


def test_batches_of_a_fixed_size_and_rows_of_none_are_refused() -> None:
    import keras

    fixed = keras.Input((4,), batch_size=2)
    with pytest.raises(ModelError, match="batches of exactly 2"):
        cut_at(keras.Model(fixed, keras.layers.Dense(2)(keras.layers.Dense(3, name="here")(fixed))), "here")
    any_length = keras.Input((None, 4), name="steps")
    x = keras.layers.GlobalAveragePooling1D(name="here")(any_length)
    with pytest.raises(
        ModelError, match=re.escape("input 'steps' has rows of unknown shape ?x4; build it with a fixed one")
    ):
        cut_at(keras.Model(any_length, keras.layers.Dense(2)(x)), "here")


def test_the_feature_space_is_the_same_for_the_same_model(tiny_model: TinyModel) -> None:
    first, second = (space_of(tiny_model(), "pool") for _ in range(2))
    assert first == second
    assert first.startswith("fs:")
    assert len(first) == 19


def test_the_feature_space_survives_saving(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    model.save(tmp_path / "m.keras")
    loaded = cut_model(load_model(tmp_path / "m.keras").graph, ["pool"])
    assert feature_space(loaded, 0, PREPROCESSING) == space_of(model, "pool")


def test_weights_preprocessing_and_cut_each_change_the_feature_space(tiny_model: TinyModel) -> None:
    base = tiny_model()
    nudged = tiny_model()
    kernel, bias = nudged.get_layer("conv1").get_weights()
    kernel[0, 0, 0, 0] = np.nextafter(kernel[0, 0, 0, 0], np.float32(1))
    nudged.get_layer("conv1").set_weights([kernel, bias])
    spaces = {
        space_of(base, "pool"),
        space_of(base, "add"),
        space_of(base, "pool", PREPROCESSING.model_copy(update={"crop": 0.9})),
        space_of(nudged, "pool"),
    }
    assert len(spaces) == 4


def test_a_new_head_keeps_the_feature_space(tiny_model: TinyModel) -> None:
    base, retrained = tiny_model(), tiny_model()
    retrained.get_layer("top").set_weights([np.ones((4, 5), np.float32), np.zeros(5, np.float32)])
    spaces = {space_of(model, "pool") for model in (base, retrained)}
    assert len(spaces) == 1


def test_files_that_cannot_be_loaded_are_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / "bad.keras").write_bytes(b"not a zip")
    tiny_model().save(tmp_path / "flipped.keras")
    data = bytearray((tmp_path / "flipped.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.keras").write_bytes(data)
    tiny_model().save(tmp_path / "m.h5")
    for name, says in (
        ("bad.keras", "cannot be loaded"),
        ("flipped.keras", "cannot be loaded"),
        ("none.keras", "no file"),
        ("", "is a folder without saved_model.pb"),
        ("m.h5", "legacy HDF5 format, which is taken with --allow-legacy"),
        ("m.onnx", "no file"),
    ):
        with pytest.raises(ModelError, match=says):
            load_model(tmp_path / name)
