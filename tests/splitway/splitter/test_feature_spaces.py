"""What changes a feature space and what does not; what reading a nested model leaves of the model around it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from splitway.errors import ModelError
from splitway.splitter.cut import CutModel, cut_model, feature_space
from splitway.splitter.graph import Part
from splitway.splitter.identity import identity_of
from splitway.splitter.readers.keras_graph import read_keras

layers = keras.layers


def spaces(model: keras.Model, *at: str) -> list[str]:
    cut = cut_model(read_keras(model), at)
    return [feature_space(cut, place, None) for place in range(len(at))]


def with_operation(operation: Any, **options: Any) -> keras.Model:
    x = keras.Input((6,))
    dense = layers.Dense(2, name="d", kernel_initializer="ones", **options)
    return keras.Model(x, layers.Dense(2)(dense(operation(x))))


def test_values_of_operations_are_told_apart() -> None:
    """Slices and numpy's numbers above all, which Keras hands on as they are."""
    operations = [
        lambda x: x[:, 0:2],
        lambda x: x[:, 2:4],
        lambda x: x[:, 0:4:2],
        lambda x: x[..., 4:],
        lambda x: x * np.float32(2),
        lambda x: x * np.float32(3),
        lambda x: x * np.float64(3),
        lambda x: keras.ops.cast(x, "float16"),
    ]
    found = {spaces(with_operation(operation), "d")[0] for operation in operations}
    assert len(found) == len(operations)


def test_what_cannot_be_described_is_refused() -> None:
    layer = layers.Dense(2, name="odd")
    for value in (object(), {1, 2}, lambda x: x):
        with pytest.raises(ModelError, match="layer 'odd' \\(Dense\\): its argument 'y' is a"):
            identity_of(layer, [[], {"y": value}], [])


def test_what_only_training_knows_leaves_the_feature_space() -> None:
    model = with_operation(lambda x: x)
    expected = spaces(model, "d")
    model.get_layer("d").trainable = False
    assert spaces(model, "d") == expected
    options = {"kernel_regularizer": "l2", "bias_initializer": "zeros", "kernel_constraint": "non_neg"}
    assert spaces(with_operation(lambda x: x, **options), "d") == expected


def test_an_earlier_cut_and_the_order_of_branches_leave_the_feature_space() -> None:
    def branches(*, swapped: bool) -> keras.Model:
        x = keras.Input((4,))
        makes = {"p": lambda: layers.Dense(3, "relu", name="p", kernel_initializer="ones")(x), "q": lambda: q2(x)}
        made = {name: makes[name]() for name in sorted(makes, reverse=swapped)}
        return keras.Model(x, layers.Dense(2)(layers.Add(name="j")([made["p"], made["q"]])))

    def q2(x: Any) -> Any:
        q = layers.Dense(3, name="q", kernel_initializer="ones")(x)
        return layers.Dense(3, name="q2", kernel_initializer="ones")(q)

    model = branches(swapped=False)
    (alone,) = spaces(model, "j")
    assert {spaces(model, earlier, "j")[1] for earlier in ("p", "q", "q2")} == {alone}
    assert spaces(branches(swapped=True), "j") == [alone]


def run(part: Part, *values: Any) -> list[Any]:
    return part.run([keras.ops.convert_to_tensor(value) for value in values])


def check(model: keras.Model, cut: CutModel, *values: Any) -> None:
    expected = keras.tree.flatten(model(list(values) if len(values) > 1 else values[0], training=False))
    got = run(cut.parts[1], *run(cut.parts[0], *values))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("order", ["aba", "ba"])
def test_an_encoder_built_from_the_input_itself_may_be_used_twice(order: str) -> None:
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    encoder = keras.Model(inputs["a"], layers.Dense(3, name="e")(inputs["a"]), name="encoder")
    made = [encoder(inputs[name]) for name in order[:2]] + [inputs[name] for name in order[2:]]
    model = keras.Model(list(inputs.values()), layers.Dense(2)(layers.Concatenate(name="c")(made)))
    values = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    check(model, cut_model(read_keras(model), ["c"]), *values)


def test_a_nested_model_of_several_outputs_is_cut_off_whole() -> None:
    inside = keras.Input((4,))
    outputs = {"p": layers.Dense(3, name="p")(inside), "q": layers.Dense(5, name="q")(inside)}
    nested = keras.Model(inside, outputs, name="nested")
    x = keras.Input((4,))
    made = nested(x)
    model = keras.Model(x, layers.Dense(2)(layers.Concatenate()([made["q"], made["p"]])))
    cut = cut_model(read_keras(model), ["nested"])
    assert cut.layers == ("nested",)
    assert {step.name for step in cut.parts[0].steps} == {"nested/p", "nested/q"}
    check(model, cut, np.ones((1, 4), np.float32))


def test_a_nested_model_that_does_nothing_cannot_be_cut_off() -> None:
    inside, x = keras.Input((4,)), keras.Input((4,))
    nothing = keras.Model(inside, inside, name="nothing")
    model = keras.Model(x, layers.Dense(2)(layers.Dense(3)(nothing(x))))
    with pytest.raises(ModelError, match="nothing in it to cut off"):
        cut_model(read_keras(model), ["nothing"])
