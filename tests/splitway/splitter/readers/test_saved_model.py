"""A SavedModel has operations and no layers: what Keras named is still where it can be cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitway.errors import ModelError
from splitway.splitter.cut import cut_model, feature_space
from splitway.splitter.cuts import best_cut, find_cuts
from splitway.splitter.readers.source import fingerprint, load_model
from tests.splitway.splitter.test_cut import pictures, through

TinyModel = Callable[..., Any]


@pytest.fixture
def saved(tiny_model: TinyModel, tmp_path: Path) -> Path:
    tiny_model().export(tmp_path / "saved", verbose=False)
    return tmp_path / "saved"


def test_it_is_cut_where_its_layers_were(saved: Path) -> None:
    model = load_model(saved)
    cuts = find_cuts(model.graph)
    assert best_cut(cuts).layer.endswith("pool_1")
    pixels = pictures()
    (name,) = model.graph.inputs
    (expected,) = model.run({name: pixels}).values()
    for layer, tensors in (("pool_1", 1), ("conv2_1", 2), ("add_1", 1)):
        cut = cut_model(model.graph, [layer])
        assert len(cut.crossing[0]) == tensors
        np.testing.assert_allclose(through(cut, pixels)[0], expected, atol=1e-6)


def test_its_feature_space_is_of_its_weights(tiny_model: TinyModel, tmp_path: Path) -> None:
    def space(seed: int, name: str) -> str:
        tiny_model(seed=seed).export(tmp_path / name, verbose=False)
        return feature_space(cut_model(load_model(tmp_path / name).graph, ["pool_1"]), 0, None)

    assert space(1, "a") == space(1, "b")
    assert space(1, "a2") != space(2, "c")


def test_its_hash_is_of_every_file(saved: Path) -> None:
    before = fingerprint(saved)
    (saved / "assets").mkdir(exist_ok=True)
    (saved / "assets" / "extra.txt").write_text("x")
    assert fingerprint(saved) != before


def test_a_damaged_one_is_one_line(saved: Path) -> None:
    (saved / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(saved)


def module(path: Path, step: Callable[[Any, Any], Any], argument: str = "x") -> Path:
    """Save a module with weights `w` and a signature that does this."""
    import tensorflow as tf

    made = tf.Module()
    made.w = tf.Variable(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    spec = tf.TensorSpec((None, 4), tf.float32, name=argument)
    function = tf.function(lambda x: step(made, x), input_signature=[spec])
    tf.saved_model.save(made, str(path), signatures=function.get_concrete_function())
    return path


def test_what_touches_files_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    import tensorflow as tf

    written = tmp_path / "written"

    def write(made: Any, x: Any) -> Any:
        tf.io.write_file(str(written), "x")
        return x @ made.w

    def write_maybe(made: Any, x: Any) -> Any:
        return {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: write(made, x), lambda: x @ made.w)}

    def read(made: Any, x: Any) -> Any:
        text = tf.io.decode_raw(tf.io.read_file(str(tmp_path / "secret")), tf.float32)
        return {"y": x @ made.w + tf.ensure_shape(text, (3,))}

    for name, step, operation in (("a", write, "Write"), ("b", write_maybe, "Write"), ("c", read, "Read")):
        with pytest.raises(ModelError, match=rf"operation {operation}File .* is refused"):
            load_model(module(tmp_path / name, step))
    assert not written.exists()


def test_a_second_description_of_the_model_is_refused(saved: Path) -> None:
    (saved / "saved_model.pbtxt").write_text("")
    with pytest.raises(ModelError, match=r"holds saved_model.pbtxt"):
        load_model(saved)


def test_a_changed_statistic_is_another_feature_space(tmp_path: Path) -> None:
    import keras

    def space(mean: float, name: str) -> str:
        keras.utils.set_random_seed(1)
        x = keras.Input((4,))
        norm = keras.layers.BatchNormalization(name="norm")
        model = keras.Model(x, keras.layers.Dense(2)(norm(keras.layers.Dense(3)(x))))
        norm.moving_mean.assign(np.full(3, mean, np.float32))
        model.export(tmp_path / name, verbose=False)
        graph = load_model(tmp_path / name).graph
        at = [step.name for step in graph.steps if "norm" in step.name][-1]
        return feature_space(cut_model(graph, [at]), 0, None)

    assert space(0, "a") == space(0, "b") != space(5, "c")


def test_arguments_and_functions_are_part_of_the_feature_space(tmp_path: Path) -> None:
    import tensorflow as tf

    def space(name: str, step: Callable[[Any, Any], Any]) -> str:
        def whole(made: Any, x: Any) -> Any:
            with tf.name_scope("one"):
                hidden = step(x @ made.w, x[:, :3])
            with tf.name_scope("two"):
                return {"y": hidden * 2.0}

        graph = load_model(module(tmp_path / name, whole)).graph
        return feature_space(cut_model(graph, ["one"]), 0, None)

    def choice(factor: float) -> Callable[[Any, Any], Any]:
        return lambda a, b: tf.cond(tf.reduce_sum(b) > 0, lambda: a * factor, lambda: a)

    assert space("a", lambda a, b: a - b) != space("b", lambda a, b: b - a)
    assert space("c", choice(2.0)) == space("d", choice(2.0)) != space("e", choice(3.0))


def test_an_argument_keeps_its_name_and_a_constant_output_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    model = load_model(module(tmp_path / "capital", lambda made, x: {"y": x @ made.w}, "Image"))
    assert list(model.graph.inputs) == ["Image"]
    assert model.run({"Image": np.ones((2, 4), np.float32)})["y"].shape == (2, 3)
    with pytest.raises(ModelError, match="output 'classes' is a constant"):
        load_model(module(tmp_path / "const", lambda made, x: {"y": x @ made.w, "classes": tf.constant([1, 2])}))


def test_exported_lstm_and_lookup_are_read(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    x, words = keras.Input((5, 3)), keras.Input((5,), dtype="int64")
    lookup = layers.IntegerLookup(vocabulary=[1, 2, 3], output_mode="multi_hot")
    for name, model in (
        ("lstm", keras.Model(x, layers.Dense(2)(layers.LSTM(4, name="cell")(x)))),
        ("lookup", keras.Model(words, layers.Dense(2)(lookup(words)))),
    ):
        model.export(tmp_path / name, verbose=False)
        graph = load_model(tmp_path / name).graph
        assert find_cuts(graph)
        assert len({step.name for step in graph.steps}) == len(graph.steps)


def test_an_operation_nobody_knows_is_one_line(saved: Path) -> None:
    file = saved / "saved_model.pb"
    file.write_bytes(file.read_bytes().replace(b"MatMul", b"MatMux"))
    with pytest.raises(ModelError, match="operation MatMux, which this TensorFlow does not know"):
        load_model(saved)


def test_what_waits_for_a_condition_can_be_cut(tmp_path: Path) -> None:
    import tensorflow as tf

    def step(made: Any, x: Any) -> Any:
        with tf.name_scope("one"):
            hidden = x @ made.w
        with tf.name_scope("two"):
            tf.debugging.assert_all_finite(x, "finite")
            tf.debugging.Assert(tf.reduce_sum(x) > 0, [x])
            return {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: hidden * 2.0, lambda: hidden)}

    model = load_model(module(tmp_path / "m", step))
    rows = np.ones((2, 4), np.float32)
    (made,) = through(cut_model(model.graph, ["one"]), rows)
    np.testing.assert_allclose(made, model.run({"x": rows})["y"])


def test_a_model_of_many_layers_is_cut_in_the_middle(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(1)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), include_top=False)
    model.export(tmp_path / "saved", verbose=False)
    loaded = load_model(tmp_path / "saved")
    cuts = [cut for cut in find_cuts(loaded.graph) if cut.why_not is None and len(cut.tensors) == 2]
    middle = min(cuts, key=lambda cut: abs(cut.flops_before - 0.5))
    pixels = pictures(32, 32, 3)
    got = through(cut_model(loaded.graph, [middle.layer]), pixels)[0]
    np.testing.assert_allclose(got, model(pixels, training=False).numpy(), atol=1e-5)


def test_augmentation_is_left_out_as_when_serving(tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(1)
    x = keras.Input((6, 6, 3))
    disturbed = keras.Sequential([keras.layers.RandomFlip(), keras.layers.RandomHue(0.3)], name="augment")(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten(name="flat")(disturbed)))
    model.export(tmp_path / "m", verbose=False)
    loaded = load_model(tmp_path / "m")
    pixels = pictures(6, 6, 3)
    expected = model(pixels, training=False).numpy()
    (name,) = loaded.graph.inputs
    np.testing.assert_allclose(loaded.run({name: pixels})["output_0"], expected, atol=1e-5)
    best = best_cut(find_cuts(loaded.graph)).layer
    np.testing.assert_allclose(through(cut_model(loaded.graph, [best]), pixels)[0], expected, atol=1e-5)
    assert any("random_flip" in note for note in loaded.notes)


def test_random_numbers_that_make_the_answer_are_refused_by_name(tmp_path: Path) -> None:
    import tensorflow as tf

    def step(made: Any, x: Any) -> Any:
        with tf.name_scope("sampled"):
            return {"y": x @ made.w + tf.random.normal((3,))}

    with pytest.raises(ModelError, match=r"random numbers, drawn for each request in 'sampled"):
        load_model(module(tmp_path / "m", step))


def test_a_lookup_table_goes_with_its_part(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    from splitway.splitter.export import export_saved_model

    def exported(name: str, words: list[int]) -> Any:
        keras.utils.set_random_seed(1)
        x = keras.Input((3,), dtype="int64")
        rows = keras.layers.Embedding(5, 2)(keras.layers.IntegerLookup(vocabulary=words)(x))
        model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten(name="flat")(rows)))
        model.export(tmp_path / name, verbose=False)
        return model, load_model(tmp_path / name).graph

    model, graph = exported("a", [1, 2, 3])
    at = [cut.layer for cut in find_cuts(graph) if cut.why_not is None][-1]
    cut = cut_model(graph, [at])
    export_saved_model(cut.parts[0], tmp_path / "part")
    served = tf.saved_model.load(str(tmp_path / "part"))
    values = np.array([[1, 3, 9]], np.int64)
    (got,) = next(iter(served.signatures.values()))(**{next(iter(cut.parts[0].takes)): tf.constant(values)}).values()
    (answer,) = cut.parts[1].run([got])
    np.testing.assert_allclose(answer.numpy(), model(values).numpy(), atol=1e-6)
    other = cut_model(exported("b", [1, 2, 4])[1], [at])
    assert feature_space(cut, 0, None) != feature_space(other, 0, None)


def test_variables_and_constants_are_one_feature_space(tmp_path: Path) -> None:
    """A large constant stays beside the graph as variables do, and is described as before."""
    import tensorflow as tf

    numbers = np.linspace(-1, 1, 4 * 128, dtype=np.float32).reshape(4, 128)

    def space(name: str, weights: Any) -> str:
        def whole(made: Any, x: Any) -> Any:
            made.weights = weights
            with tf.name_scope("one"):
                hidden = x @ tf.identity(weights)
            with tf.name_scope("two"):
                return {"y": hidden * 2.0}

        graph = load_model(module(tmp_path / name, whole)).graph
        return feature_space(cut_model(graph, ["one"]), 0, None)

    assert space("a", tf.constant(numbers)) == space("b", tf.constant(numbers)) != space("c", tf.constant(numbers * 2))


_SPLIT = """
import resource, sys
from pathlib import Path
import tensorflow as tf
from splitway.splitter.cut import cut_model, feature_space
from splitway.splitter.export import convert_to_litert, export_saved_model
from splitway.splitter.readers.source import load_model
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
cut = cut_model(load_model(Path(sys.argv[1])).graph, ["wide_1"])
feature_space(cut, 0, None)
for place, part in enumerate((*cut.parts, cut.whole)):
    export_saved_model(part, Path(sys.argv[2]) / str(place))
    convert_to_litert(part)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_split_takes_ten_times_the_weights_in_memory_at_most(tmp_path: Path) -> None:
    import subprocess
    import sys

    import keras

    x = keras.Input((2800,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(2800, name="wide")(x)))
    model.export(tmp_path / "m", verbose=False)
    weights = sum(weight.numpy().nbytes for weight in model.weights)
    command = [sys.executable, "-c", _SPLIT, str(tmp_path / "m"), str(tmp_path / "parts")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) * 1024 < 10 * weights


def test_a_cut_may_leave_other_tensors_of_the_same_operation_behind(tmp_path: Path) -> None:
    import keras

    x = keras.Input((5, 3))
    every, *states = keras.layers.LSTM(4, return_sequences=True, return_state=True)(x)
    last = keras.layers.LSTM(4)(every, initial_state=states)
    keras.Model(x, [keras.layers.Dense(2)(last), states[0]]).export(tmp_path / "m", verbose=False)
    model = load_model(tmp_path / "m")
    given = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    (name,) = model.graph.inputs
    expected = model.run({name: given})
    possible = [cut.layer for cut in find_cuts(model.graph) if cut.why_not is None]
    assert len(possible) > 2
    for layer in possible:
        made = through(cut_model(model.graph, [layer]), given)
        for got, wanted in zip(made, expected.values(), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-6)


def _of_words(path: Path, words: list[str]) -> Path:
    import tensorflow as tf

    made = tf.Module()
    values = tf.lookup.KeyValueTensorInitializer(words, range(len(words)), tf.string, tf.int64)
    made.table = tf.lookup.StaticHashTable(values, -1)

    def look_up(x: Any) -> dict[str, Any]:
        numbers = tf.ensure_shape(made.table.lookup(tf.strings.as_string(x)), (None, 2))
        with tf.name_scope("numbers"):
            found = tf.cast(numbers, tf.float32) * 2.0
        with tf.name_scope("head"):
            return {"y": found + 1.0}

    function = tf.function(look_up, input_signature=[tf.TensorSpec((None, 2), tf.int64, name="x")])
    tf.saved_model.save(made, str(path), signatures=function.get_concrete_function())
    return path


def test_a_table_of_words_is_read_as_what_it_is(tmp_path: Path) -> None:
    def space(words: list[str], name: str) -> str:
        graph = load_model(_of_words(tmp_path / name, words)).graph
        return feature_space(cut_model(graph, ["numbers"]), 0, None)

    assert space(["1", "2"], "a") == space(["1", "2"], "b") != space(["1", "3"], "c")


def test_a_table_that_can_still_grow_is_named(tmp_path: Path) -> None:
    import keras

    look_up = keras.layers.IntegerLookup()
    look_up.adapt(np.array([[1, 2, 3]]))
    x = keras.Input((3,), dtype="int64")
    keras.Model(x, keras.layers.Embedding(8, 2)(look_up(x))).export(tmp_path / "m", verbose=False)
    with pytest.raises(ModelError, match=r"table that can still grow \(MutableHashTable.*model.save\('name.keras'\)"):
        load_model(tmp_path / "m")


def test_a_folder_that_is_none_says_what_to_name(saved: Path, tmp_path: Path) -> None:
    import shutil

    with pytest.raises(ModelError, match=r"part of a SavedModel: name its folder, .*saved$"):
        load_model(saved / "variables")
    shutil.copytree(saved, tmp_path / "served" / "1")
    with pytest.raises(ModelError, match=r"did you mean .*served/1"):
        load_model(tmp_path / "served")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no SavedModel; .*model.export"):
        load_model(tmp_path / "empty")
    (saved / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"saved_model.pb is empty"):
        load_model(saved)
