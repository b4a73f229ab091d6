"""Layers of other people's classes, whatever they do while they are looked at: split, or named in one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest

from splitway.errors import ModelError
from splitway.splitter.cut import cut_model, feature_space
from splitway.splitter.cuts import find_cuts
from splitway.splitter.export import export_saved_model
from splitway.splitter.proof.proof_inputs import tensor_inputs
from splitway.splitter.readers.foreign import count_of, looking_at, name_of, reason_of, said, shown
from splitway.splitter.readers.loaded import of_keras

layers = keras.layers
ASKED = (
    "__class__",
    "__dict__",
    "__call__",
    "_call_context_args",
    "_flatten_layers",
    "_layers",
    "_nodes_by_depth",
    "call",
    "compute_dtype",
    "data_format",
    "dtype",
    "get_config",
    "get_vocabulary",
    "input_dim",
    "lookup_table",
    "name",
    "num_tokens",
    "variables",
    "vocabulary_size",
    "weights",
)


class Odd(BaseException):
    """What no library expects."""

    def __str__(self) -> str:
        raise RuntimeError("not even a message")


class Hostile(keras.layers.Layer):  # type: ignore[misc]
    """Twice what it takes; once it is armed, what it is asked for is answered by `answer`."""

    armed: ClassVar[str] = ""
    """The attribute that is answered so; `*` for every one."""
    answer: ClassVar[Callable[[], Any]]

    def __getattribute__(self, name: str) -> Any:
        armed = type.__getattribute__(Hostile, "armed")
        if armed in ("*", name):
            return type.__getattribute__(Hostile, "answer")()
        return super().__getattribute__(name)

    def call(self, x: Any) -> Any:
        return x * 2


def raises(error: BaseException) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


ANSWERS: dict[str, Callable[[], Any]] = {
    "an Odd": raises(Odd()),
    "an error of several lines": raises(RuntimeError("one\n\x1b[31mtwo")),
    "an end": raises(StopIteration()),
    "the generator's end": raises(GeneratorExit()),
    "no such attribute": raises(AttributeError("gone")),
    "None": lambda: None,
    "a number": lambda: 7,
    "an object": object,
    "a text": lambda: "seven",
    "what raises when it is called": lambda: raises(Odd()),
    "what is neither true nor equal nor hashable": lambda: np.ones(3),
}


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    Hostile.armed = ""


def around(layer: Any) -> keras.Model:
    x = keras.Input((4,))
    x, begin = layers.Dense(4, name="first")(x), x
    x = layers.Dense(3, name="h")(layer(x))
    return keras.Model(begin, layers.Dense(2, name="top")(x))


def split_all(model: keras.Model, folder: Path | None = None) -> None:
    """Everything that a split does with the layers; the export, which takes long, where there is a folder for it."""
    graph = of_keras(model, "m").graph
    find_cuts(graph)
    tensor_inputs(graph, 2)
    cut = cut_model(graph, ["h"])
    feature_space(cut, 0, None)
    if folder is not None:
        export_saved_model(cut.parts[0], folder)


def test_a_layer_whose_every_attribute_raises_is_one_sentence() -> None:
    model = around(Hostile(name="hostile"))
    Hostile.armed = "*"
    for answer in ANSWERS.values():
        Hostile.answer = staticmethod(answer)
        with pytest.raises(ModelError, match=r"layer '(hostile|seven)' \(Hostile\)") as raised:
            split_all(model)
        assert raised.value.detail.isprintable()


def test_so_is_one_that_lies_inside_another(tmp_path: Path) -> None:
    class Outer(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.inner = Hostile(name="hostile")

        def call(self, x: Any) -> Any:
            return self.inner(x)

    model = around(Outer(name="outer"))
    Hostile.armed, Hostile.answer = "*", staticmethod(raises(Odd()))
    with pytest.raises(ModelError, match=r"layer 'hostile' \(Hostile\)"):
        split_all(model, tmp_path / "m")


@pytest.mark.parametrize("asked", ASKED)
def test_each_attribute_may_be_whatever_it_is(asked: str) -> None:
    for answer in ANSWERS.values():
        refused = None
        model = around(Hostile(name="hostile"))
        Hostile.armed, Hostile.answer = asked, staticmethod(answer)
        try:
            split_all(model)
        except ModelError as error:
            refused = error.detail
        finally:
            Hostile.armed = ""
        assert refused is None or ("' (Hostile)" in refused and refused.isprintable()), refused


@pytest.mark.parametrize("asked", ["call", "lookup_table", "variables", "weights"])
def test_so_may_it_be_while_the_layer_is_exported(asked: str, tmp_path: Path) -> None:
    model = around(Hostile(name="hostile"))
    cut = cut_model(of_keras(model, "m").graph, ["h"])
    for number, answer in enumerate(ANSWERS.values()):
        Hostile.armed, Hostile.answer = asked, staticmethod(answer)
        with contextlib.suppress(ModelError):
            export_saved_model(cut.parts[0], tmp_path / str(number))


class Words(keras.layers.Layer):  # type: ignore[misc]
    """As keras_hub's backbones and their layers are: what they know is a number, and no method."""

    def __init__(self, vocabulary_size: Any, **options: Any) -> None:
        super().__init__(**options)
        self.vocabulary_size = vocabulary_size
        self.table = layers.Embedding(6, 3)

    def call(self, x: Any) -> Any:
        return self.table(x)

    def get_config(self) -> dict[str, Any]:
        return {"size": str(self.vocabulary_size)}


@pytest.mark.parametrize(
    "size",
    [6, np.int64(6), lambda: 6, None, "six", True, -3, 2.5, [6], lambda _: 6, raises(Odd())],
    ids=["6", "int64", "method", "None", "six", "True", "-3", "2.5", "list", "method that takes one", "raises"],
)
def test_a_vocabulary_size_may_be_a_number_a_method_or_nonsense(size: Any, tmp_path: Path) -> None:
    words = keras.Input((5,), dtype="int32")
    x = layers.Dense(3, name="h")(layers.Flatten()(Words(size)(words)))
    model = keras.Model(words, layers.Dense(2)(x))
    split_all(model, tmp_path / "m")
    (found,) = tensor_inputs(of_keras(model, "m").graph, 20).values()
    assert found.max() < 6


class Told(keras.layers.Layer):  # type: ignore[misc]
    """Without a get_config of its own, and told what cannot be written down, as T5's and Whisper's layers are."""

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(**options)
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


def test_a_layer_without_get_config_is_one_sentence_that_helps(tmp_path: Path) -> None:
    inside = keras.Input((4,))
    inner = keras.Model(inside, Told(lambda x: x + 1, name="decoder_0")(inside), name="backbone")
    with pytest.raises(
        ModelError, match=r"layer 'decoder_0' \(Told\) cannot be described.*get_config.*export"
    ) as raised:
        split_all(around(inner), tmp_path / "m")
    assert raised.value.detail.isprintable()


_CONFIGS = ["None", "7", "x", "list", "an object in it", "a set in it"]


@pytest.mark.parametrize("config", [None, 7, "x", [1], {"a": object()}, {1: {2: set()}}], ids=_CONFIGS)
def test_a_config_of_nonsense_is_one_sentence(config: Any, tmp_path: Path) -> None:
    class Nonsense(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

        def get_config(self) -> Any:
            return config

    with pytest.raises(ModelError, match=r"layer 'odd' \(Nonsense\)"):
        split_all(around(Nonsense(name="odd")), tmp_path / "m")


def test_a_layer_that_fails_when_it_is_exported_is_named(tmp_path: Path) -> None:
    class Moody(keras.layers.Layer):  # type: ignore[misc]
        moods: ClassVar[list[str]] = []

        def call(self, x: Any) -> Any:
            if self.moods:
                raise KeyError(self.moods[0])
            return x

    model = around(Moody(name="moody"))
    Moody.moods.append("bad")
    with pytest.raises(ModelError, match=r"layer 'moody' \(Moody\) cannot be run: .*bad"):
        split_all(model, tmp_path / "m")


def test_the_interpreters_own_exceptions_pass() -> None:
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error), looking_at(object()):
            raise error


def test_names_and_messages_that_are_none_have_something_in_their_place() -> None:
    class Named:
        def __init__(self, name: Any) -> None:
            self.name = name

    assert name_of(Named("x")) == "x"
    assert name_of(Named(7)) == "unnamed"
    assert shown(Named("a\x1bb")) == "layer 'a\\\\x1bb' (Named)"
    assert said(Odd()) == "Odd"
    assert said(ValueError()) == "ValueError"
    assert len(said(ValueError("long " * 1000))) < 310
    assert [count_of(Named(value), "name") for value in (3, 0, True, 2**40, "3", lambda: 3)] == [3, *[None] * 4, 3]


def test_what_a_layer_says_in_colours_is_said_without() -> None:
    assert said(ValueError("\x1b[1mindices\x1b[0m[2] = 700\n is not in [0, 5)")) == "indices[2] = 700 is not in [0, 5)"


DEEP = (
    "<class 'Functional'> could not be deserialized properly.\n\nconfig={'name': 'm'}.\n\n"
    "Exception encountered: Error when deserializing class 'DepthwiseConv2D' using config={'groups': 1}.\n\n"
    "Exception encountered: Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}"
)
CALLED = (
    "Exception encountered when calling Conv2D.call().\n\n\x1b[1mComputed output size would be negative.\x1b[0m\n\n"
    "Arguments received by Conv2D.call():\n  • args=('<KerasTensor>',)"
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (DEEP, "Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}"),
        (CALLED, "in Conv2D: Computed output size would be negative."),
        ("plain", "plain"),
        ("", "ValueError"),
        ("x" * 900, "x" * 400 + "…"),
    ],
    ids=["wrapped", "called", "plain", "nothing", "long"],
)
def test_the_innermost_reason_is_given(said: str, reason: str) -> None:
    assert reason_of(ValueError(said)) == reason
