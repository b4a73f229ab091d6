"""`splitway split` and `verify` on odd models: split where they can be served, else one line and nothing left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from splitway.api import proving, splitting
from splitway.api.before import read_labels
from splitway.api.source import SourceOptions
from splitway.bundle import load_bundle, read_manifest, write_manifest
from splitway.cli.main import app
from splitway.errors import BundleError, EngineFailed, ModelError, SetupError, SplitwayError
from splitway.runtime.inprocess import InProcessStage
from splitway.splitter.cut import find_steps
from splitway.splitter.graph import Graph, unique_names
from splitway.splitter.proof.proof_inputs import tensor_inputs
from splitway.splitter.readers.keras_graph import read_keras
from splitway.splitter.readers.loaded import of_keras
from splitway.splitter.readers.source import load_model
from tests.splitway.cli.test_split import saved, split_here

layers = keras.layers


def small(*, hidden: str = "h", **given: Any) -> keras.Model:
    x = keras.Input((4,), **given)
    return keras.Model(x, layers.Dense(2, name="top")(layers.Dense(3, name=hidden)(x)))


def embedded(dtype: str, words: Callable[[Any], Any] = lambda x: x) -> keras.Model:
    x = keras.Input((5,), dtype=dtype)
    flat = layers.Flatten(name="f")(layers.Embedding(3, 4)(words(x)))
    return keras.Model(x, layers.Dense(2)(flat))


def test_a_model_that_folds_its_batch_is_one_line(tmp_path: Path) -> None:
    x = keras.Input((4, 3))
    folded = layers.Dense(3, name="h")(keras.ops.reshape(x, (-1, 3)))
    whole = keras.ops.reshape(layers.Dense(2)(folded), (-1, 8))
    for outputs, says in ((layers.Dense(2)(folded), "must give one for each"), (whole, "one row for each")):
        with pytest.raises(SplitwayError, match=says) as raised:
            split_here(saved(keras.Model(x, outputs), tmp_path / "m.keras"), tmp_path / "m", "h")
        assert "\n" not in raised.value.detail
        assert not (tmp_path / "m").exists()


def test_pictures_of_any_size_keep_their_type_and_name() -> None:
    x = keras.Input((None, None, 3), dtype="uint8", name="img")
    doubled = keras.ops.cast(x * 2, "float32")  # in uint8, as its author has it, 400 is 144
    model = keras.Model(x, layers.GlobalAveragePooling2D()(doubled))
    loaded = of_keras(model, "m", picture_size=(4, 4))
    ((name, wire),) = loaded.graph.inputs.items()
    assert (name, wire.dtype, wire.shape) == ("img", "uint8", (4, 4, 3))
    (answer,) = loaded.run({"img": np.full((1, 4, 4, 3), 200, np.uint8)}).values()
    np.testing.assert_array_equal(answer, np.full((1, 3), 144))


@pytest.mark.parametrize(
    "model", [embedded("float32"), embedded("int32", lambda x: x[:, 1:]), embedded("float32", layers.Reshape((5, 1)))]
)
def test_words_stay_in_the_vocabulary(model: keras.Model) -> None:
    (words,) = tensor_inputs(read_keras(model), 20).values()
    assert set(np.unique(words)) == {0, 1, 2}


def test_a_model_that_cannot_be_run_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(_: Graph, count: int) -> dict[str, Any]:
        return {"x": np.full((count, 5), 9, np.int32)}

    monkeypatch.setattr(proving, "tensor_inputs", too_large)
    x = keras.Input((5,), dtype="int32", name="x")
    model = keras.Model(x, layers.Dense(2)(layers.Flatten(name="f")(layers.Embedding(3, 4)(x))))
    with pytest.raises(ModelError, match=r"the uncut model itself cannot be run: .*is not in") as raised:
        split_here(saved(model, tmp_path / "m.keras"), tmp_path / "m", "f")
    assert not {"\n", "\x1b"} & set(raised.value.detail)


def test_verify_asks_for_the_consents_that_split_asks_for(tmp_path: Path) -> None:
    path, out = saved(small(), tmp_path / "m.h5"), tmp_path / "m"
    split_here(path, out, "h", source=SourceOptions(allow_legacy=True))
    with pytest.raises(ModelError, match="taken with --allow-legacy only"):
        splitting.verify(out, None, None, lambda _: None)
    said: list[str] = []
    splitting.verify(out, None, None, lambda _: None, SourceOptions(allow_legacy=True, note=said.append))
    assert "SHA-256" in said[0]
    for stage in ("feature_extractor", "classifier"):
        manifest = read_manifest(out / stage / "1")
        source = manifest.source_model.model_copy(update={"path": "../m.h5"})
        write_manifest(out / stage / "1", manifest.model_copy(update={"source_model": source}))
    with pytest.raises(BundleError, match="lies outside"):
        splitting.verify(out, None, None, lambda _: None, SourceOptions(allow_legacy=True))


def test_an_output_called_probabilities_that_is_none_is_called_something_else(tmp_path: Path) -> None:
    x = keras.Input((4,))
    scalar = layers.Reshape((), name="probabilities")(layers.Dense(1)(layers.Dense(3, name="h")(x)))
    head, _ = split_here(saved(keras.Model(x, scalar), tmp_path / "m.keras"), tmp_path / "m", "h")
    assert [entry.name for entry in head.outputs] == ["output"]


def test_labels_are_those_of_the_probabilities(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    x = keras.Input((4,))
    hidden = layers.Dense(3, name="h")(x)
    outputs = {"aux": layers.Dense(5)(hidden), "probabilities": layers.Dense(2, "softmax")(hidden)}
    split_here(saved(keras.Model(x, outputs), tmp_path / "m.keras"), tmp_path / "m", "h", labels=labels)
    assert load_bundle(tmp_path / "m" / "classifier" / "1").labels == ("a", "b")


def test_names_that_tensorflow_does_not_take_are_changed(tmp_path: Path) -> None:
    assert list(unique_names([("X", 1), ("x", 2), ("self", 3)])) == ["X", "x_2", "self_2"]
    model = small(hidden="_hidden", name="self")
    _, extractor = split_here(saved(model, tmp_path / "m.keras"), tmp_path / "m", "_hidden")
    assert [entry.name for entry in extractor.inputs] == ["self_2"]


@pytest.mark.parametrize("error", [RuntimeError("bad"), NotImplementedError("zip"), RecursionError(), EOFError()])
def test_whatever_a_damaged_file_raises_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any) -> Any:
        raise error

    path = saved(small(), tmp_path / "m.keras")
    monkeypatch.setattr("zipfile.ZipFile.read", broken)
    with pytest.raises(ModelError, match="damaged or no Keras model"):
        load_model(path)


def test_pictures_in_16_bits_are_split_as_tensors(tmp_path: Path) -> None:
    x = keras.Input((8, 8, 3), dtype="float16")
    model = keras.Model(x, layers.Dense(2)(layers.Flatten(name="f")(layers.Conv2D(2, 3)(x))))
    _, extractor = split_here(saved(model, tmp_path / "m.keras"), tmp_path / "m", "f")
    assert (extractor.preprocessing, extractor.inputs[0].datatype) == (None, "FP16")


@pytest.mark.parametrize("error", [BundleError("cannot be loaded by LiteRT"), EngineFailed("could not run")])
def test_what_litert_cannot_load_or_run_is_served_by_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: SplitwayError
) -> None:
    real = InProcessStage

    def stage(bundle: Any) -> Any:
        if bundle.manifest.engine == "litert":
            raise error
        return real(bundle)

    monkeypatch.setattr(proving, "InProcessStage", stage)
    manifests = split_here(saved(small(), tmp_path / "m.keras"), tmp_path / "m", "h")
    assert {manifest.engine for manifest in manifests} == {"tensorflow"}


@pytest.mark.parametrize("word", ["in", "class", "from", "None", "lambda", "self"])
def test_an_input_may_be_called_like_a_word_of_python(tmp_path: Path, word: str) -> None:
    _, extractor = split_here(saved(small(name=word), tmp_path / "m.keras"), tmp_path / "m", "h")
    assert [entry.name for entry in extractor.inputs] == [f"{word}_2"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufefftench\r\ncat\r\n".encode(),
        b"tench\ncat",
        "tench\r\ncat\r\n".encode("utf-16"),
        b"\xfe\xff" + "tench\ncat\n".encode("utf-16-be"),
    ],
    ids=["utf-8 with a mark", "utf-8", "utf-16", "utf-16 big endian"],
)
def test_labels_are_read_without_their_byte_order_mark(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    assert read_labels(tmp_path / "labels.txt") == ["tench", "cat"]


def test_labels_in_another_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("chat\nchâteau\n".encode("latin-1"))
    with pytest.raises(SetupError, match="not text in UTF-8, from byte 7 on"):
        read_labels(tmp_path / "labels.txt")


def fixed_picture() -> keras.Model:
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.Dense(2, "softmax")(layers.GlobalAveragePooling2D(name="gap")(x)))


@pytest.mark.parametrize(
    ("picture", "options", "says"),
    [
        (True, ["--size", "9x9"], "--size has no effect"),
        (True, ["--range=1:1"], "all pictures the same"),
        (True, ["--range=0:inf"], "--range must go from one number to another"),
        (False, ["--range=0:255"], "--range has no effect"),
        (False, ["--crop", "1.0", "--resample", "bilinear"], "--crop and --resample have no effect"),
        (False, [], ""),
        (True, ["--range=0:1"], ""),
        (True, [], "give --range=0:255 (pixels as they are), --range=0:1 (pixels / 255)"),
        (True, ["--force-range"], "--force-range has no effect"),
        (True, ["--range=0:1", "--preprocess=tf"], "--range and --preprocess both say"),
        (False, ["--preprocess=tf", "--range=0:1"], "both say"),
        (False, ["--preprocess=tf"], "--preprocess has no effect"),
    ],
    ids=[
        "size",
        "range of nothing",
        "range without end",
        "range",
        "crop and resample",
        "none",
        "none of a picture",
        "no range",
        "force of nothing",
        "range and preset",
        "both of no picture",
        "preset of no picture",
    ],
)
def test_an_option_without_effect_is_refused(tmp_path: Path, picture: bool, options: list[str], says: str) -> None:
    model = fixed_picture() if picture else small()
    path = saved(model, tmp_path / "m.keras")
    at = "gap" if picture else "h"
    result = CliRunner().invoke(app, ["split", str(path), "--at", at, "--out", str(tmp_path / "m"), *options])
    assert result.exit_code == bool(says)
    assert says in result.stderr
    assert (tmp_path / "m").exists() is not bool(says)


def test_a_classifier_of_numbers_is_sent_to_its_own_route(tmp_path: Path) -> None:
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(3, "softmax")(layers.Dense(3, name="h")(x)))
    path = saved(model, tmp_path / "m.keras")
    result = CliRunner().invoke(app, ["split", str(path), "--at", "h", "--out", str(tmp_path / "m")])
    assert "no picture; ask /v2/models/pipeline" in result.output


def test_nested_models_have_short_names_where_only_one_has_them() -> None:
    def block(name: str, *inside: Any) -> keras.Model:
        return keras.Sequential([keras.Input((4,)), *inside], name=name)

    inner = block("b1", layers.Dense(4, name="a"))
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2)(block("outer", block("mid", inner), layers.Dense(4, name="z"))(x)))
    graph = read_keras(model)
    for name in ("outer/mid/b1", "mid/b1", "b1", "b1/a", "a"):
        assert [graph.steps[at].name for at in find_steps(graph, name)] == ["outer/mid/b1/a"]
    other = keras.Model(x, block("two", block("b1", layers.Dense(4, name="a2")))(block("one", inner)(x)))
    with pytest.raises(ModelError, match="several layers are called 'b1': name one of one/b1, two/b1"):
        find_steps(read_keras(other), "b1")
