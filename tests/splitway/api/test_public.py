"""`splitway.inspect`, `split` and `load`: what they give, what they refuse, and what they import."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import splitway
from splitway.errors import BundleError, InvalidInput, ModelError, SetupError, UnfitInput
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from tests.tiny_bundles import write_bundle

HEAVY = {"numpy", "httpx", "keras", "tensorflow", "pydantic", "typer", "PIL"}


def in_a_process(script: str) -> str:
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=120)
    return ran.stdout.strip()


def test_to_import_splitway_imports_nothing_heavy() -> None:
    script = "import sys, splitway; splitway.load, splitway.split, splitway.__version__; print(*sys.modules)"
    assert not HEAVY & {name.partition(".")[0] for name in in_a_process(script).split()}


def test_every_name_of_the_api_is_there_and_no_module_has_it() -> None:
    for name in splitway.__all__:
        assert getattr(splitway, name) is not None
        assert name in dir(splitway)
        assert not (Path(splitway.__file__).parent / name).exists()
    with pytest.raises(AttributeError, match="has no attribute 'splt'"):
        splitway.splt  # noqa: B018


@pytest.mark.parametrize("call", ["inspect", "split"])
def test_without_keras_an_error_says_what_to_install(call: str) -> None:
    script = f"""
import sys
sys.modules["keras"] = None
import splitway
try:
    splitway.{call}("model.keras")
except splitway.SplitwayError as error:
    print(type(error).__name__, error.detail)
"""
    assert in_a_process(script) == "SetupError keras is not installed: pip install 'splitway[split]'"


def test_a_picture_of_a_cat_is_one(models: Path, cat: bytes) -> None:
    pipeline = splitway.load(str(models), heads=["classifier"])
    probabilities = pipeline({"image": [cat]})["classifier"]["probabilities"]
    assert probabilities.shape == (1, 1000)
    assert pipeline.labels["classifier"][probabilities[0].argmax()] == "Egyptian cat"


def test_pictures_pixels_and_rows_at_once_give_the_same(models: Path, samples: Path) -> None:
    pipeline = splitway.load(models, heads=["classifier"])
    pictures = [path.read_bytes() for path in sorted(samples.glob("*.jpg"))]
    together = pipeline({"image": pictures})["classifier"]["probabilities"]
    alone = [pipeline({"image": [picture]})["classifier"]["probabilities"] for picture in pictures]
    preprocessing = pipeline.bundles[0].manifest.preprocessing
    assert preprocessing is not None
    decode = PictureDecoder(preprocessing, PictureLimits())
    pixels = pipeline({"pixels": np.stack([decode(picture) for picture in pictures])})["classifier"]["probabilities"]
    assert together.tobytes() == np.concatenate(alone).tobytes() == pixels.tobytes()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> splitway.Pipeline:
    """A model of numbers: `x` FP32 [-1, 4] and `ids` INT32 [-1, 2], with two heads."""
    models = tmp_path_factory.mktemp("models")
    write_bundle(models, "feature_extractor", 1, "extractor")
    for name in ("classifier", "pets"):
        write_bundle(models, name, 1)
    return splitway.load(models)


X, IDS = np.ones((3, 4), np.float32), np.ones((3, 2), np.int32)


def test_every_head_answers_or_those_that_are_named(tiny: splitway.Pipeline) -> None:
    answers = tiny({"x": X, "ids": IDS})
    assert {name: {k: v.shape for k, v in outputs.items()} for name, outputs in answers.items()} == {
        "classifier": {"probabilities": (3, 4)},
        "pets": {"probabilities": (3, 4)},
    }
    assert list(tiny.heads) == list(answers)
    assert list(tiny({"x": X, "ids": IDS}, heads=["pets"])) == ["pets"]


def test_nested_lists_and_other_byte_orders_are_converted(tiny: splitway.Pipeline) -> None:
    expected = tiny({"x": X, "ids": IDS})["pets"]["probabilities"]
    for x, ids in ((X.tolist(), IDS.tolist()), (X.astype(">f4"), IDS.astype(">i4")), (np.asfortranarray(X), IDS)):
        assert tiny({"x": x, "ids": ids})["pets"]["probabilities"].tobytes() == expected.tobytes()


def test_threads_take_turns(tiny: splitway.Pipeline) -> None:
    found: list[bytes] = []

    def ask() -> None:
        found.extend(tiny({"x": X, "ids": IDS})["pets"]["probabilities"].tobytes() for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (80, 1)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"x": X}, "the input must be exactly 'x' and 'ids', not 'x'"),
        ({"x": X, "ids": IDS, "more": X}, "must be exactly 'x' and 'ids'"),
        ({"x": X.astype(np.float64), "ids": IDS}, "'x' must be FP32, not FP64"),
        ({"x": X, "ids": IDS[:2]}, "tensor 'ids' has 2 rows, but 'x' has 3"),
        ({"x": X[0], "ids": IDS}, r"its batch is missing, send \[1, 4\] for one row"),
        ({"x": X[:0], "ids": IDS[:0]}, "tensor 'x' has no rows"),
        ({"x": X * np.nan, "ids": IDS}, "'x' holds NaN or infinity"),
        ({"x": [["a"] * 4], "ids": IDS[:1]}, "'x' cannot be made FP32"),
        ({"x": X[:1], "ids": [[2**40, 0]]}, "'ids' cannot be made INT32"),
        ({"x": np.array([None] * 4), "ids": IDS}, "'x' must be FP32, not an array of object"),
    ],
    ids=["missing", "too many", "type", "rows", "no batch", "none", "NaN", "text", "too large", "objects"],
)
def test_what_the_model_does_not_take_is_one_sentence(
    tiny: splitway.Pipeline, inputs: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        tiny(inputs)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (b"bytes", "must be a list with the bytes of a picture for each row, not bytes"),
        ("cat.jpg", "not str"),
        (["cat.jpg"], "'image': row 0 must be the bytes of a picture, not str"),
        ([b"no picture"], "JPEG, PNG"),
        ([], "tensor 'image' has no rows"),
    ],
    ids=["bytes", "path", "paths", "no picture", "none"],
)
def test_what_is_no_picture_is_one_sentence(models: Path, rows: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        splitway.load(models, heads=["classifier"])({"image": rows})


def test_a_word_outside_the_vocabulary_is_named(tmp_path: Path) -> None:
    write_bundle(tmp_path, "feature_extractor", 1, "words")
    write_bundle(tmp_path, "classifier", 1)
    with pytest.raises(UnfitInput, match="ids"):
        splitway.load(tmp_path)({"ids": [[0, 5000]]})


def test_a_head_that_there_is_not_is_named_with_those_that_are(tiny: splitway.Pipeline, models: Path) -> None:
    with pytest.raises(SetupError, match="no head 'pet'; did you mean 'pets'"):
        tiny({"x": X, "ids": IDS}, heads=["pet"])
    with pytest.raises(SetupError, match=r"such as \['pets'\]"):
        tiny({"x": X, "ids": IDS}, heads="pets")
    with pytest.raises(SetupError, match="did you mean 'classifier'"):
        splitway.load(models, heads=["clasifier"])


def test_a_folder_without_bundles_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle"):
        splitway.load(tmp_path)


@pytest.fixture(scope="module")
def model() -> Any:
    """Takes `amounts`, gives a vector; one layer stands before the cut and one after it."""
    import keras

    x = keras.Input((4,), name="amounts")
    hidden = keras.layers.Dense(3, activation="tanh", name="hidden")(x)
    return keras.Model(x, keras.layers.Dense(2, name="top")(hidden), name="amounts_model")


def test_a_model_in_memory_is_split_as_its_file_is(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "amounts_model.keras")
    rows = np.array([[1, 2, 3, 4]], np.float32)
    answers = []
    for number, source in enumerate((model, tmp_path / "amounts_model.keras", str(tmp_path / "amounts_model.keras"))):
        out = tmp_path / f"models_{number}"
        assert splitway.inspect(source).model == "amounts_model"
        folders = splitway.split(source, at="hidden", out=out, version=2)
        assert folders == [out / "feature_extractor" / "2", out / "classifier" / "2"]
        pipeline = splitway.load(out)
        answers.append((pipeline.feature_space, pipeline({"amounts": rows})["classifier"]["top"].tobytes()))
    assert len(set(answers)) == 1
    np.testing.assert_allclose(np.frombuffer(answers[0][1], "f4"), model(rows).numpy()[0], atol=1e-5)


def test_each_step_is_told(model: Any, tmp_path: Path) -> None:
    said: list[str] = []
    splitway.split(model, out=str(tmp_path / "models"), say=said.append)
    assert any("cutting after hidden, the best of its layers" in line for line in said)
    assert said[-1].startswith("proving the cut on")


def test_what_cannot_be_split_leaves_nothing(model: Any, tmp_path: Path) -> None:
    out = tmp_path / "models"
    for error, says, options in (
        (ModelError, "nowhere", {"at": "nowhere"}),
        (SetupError, "^crop has no effect: the model does not take one RGB picture; leave it out", {"crop": 0.5}),
        (SetupError, "^size has no effect", {"size": (8, 8)}),
        (SetupError, "^custom_objects has no effect: a model in memory has its classes", {"custom_objects": "mine"}),
        (SetupError, "is not a valid name for a head", {"head": "Big"}),
        (SetupError, "whole number from 1 up", {"version": 0}),
        (SetupError, "cannot read the labels", {"labels": str(tmp_path / "none.txt")}),
    ):
        with pytest.raises(error, match=says):
            splitway.split(model, out=out, **options)
    assert not out.exists()


@pytest.mark.parametrize("thing", [42, [1, 2], None], ids=["number", "list", "nothing"])
def test_what_is_no_model_is_one_sentence(thing: Any) -> None:
    with pytest.raises(ModelError, match="a model is a path or a Keras model, not"):
        splitway.inspect(thing)


def test_what_is_there_is_replaced_when_that_is_said(model: Any, tmp_path: Path) -> None:
    splitway.split(model, at="hidden", out=tmp_path)
    with pytest.raises(BundleError, match="is there already"):
        splitway.split(model, at="hidden", out=tmp_path)
    assert len(splitway.split(model, at="hidden", out=tmp_path, force=True)) == 2
