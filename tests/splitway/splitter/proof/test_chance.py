"""A model that draws random numbers when it answers is refused with that as the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from splitway.api.source import SourceOptions
from splitway.errors import ProofError
from splitway.splitter.proof.chance import chance_named
from splitway.splitter.readers.loaded import of_keras
from tests.splitway.cli.test_split import saved, split_here

layers = keras.layers


@keras.saving.register_keras_serializable("chance")
class Sampling(keras.layers.Layer):  # type: ignore[misc]
    """As in a variational autoencoder: draws also when it answers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(7)

    def call(self, mean: Any) -> Any:
        return mean + keras.random.normal(keras.ops.shape(mean), seed=self.seed_generator)


def _autoencoder(drawn: Any) -> keras.Model:
    x = keras.Input((6,), name="x")
    mean = layers.Dense(4, name="mean")(layers.Dropout(0.5)(layers.Dense(8, activation="relu", name="h")(x)))
    return keras.Model(x, layers.Dense(6, name="decoded")(drawn(mean)))


def test_a_model_that_answers_by_chance_is_refused_with_the_layer_that_draws(tmp_path: Path) -> None:
    path = saved(_autoencoder(Sampling(name="sampling")), tmp_path / "m.keras")
    with pytest.raises(ProofError) as caught:
        split_here(path, tmp_path / "models", "h", source=SourceOptions(custom_objects=__name__))
    said = str(caught.value)
    assert said.startswith("two runs of the uncut model on the same input give different answers, so no cut can be")
    assert "'sampling' draws random numbers when it answers; save it with a layer there that draws none" in said


def test_where_a_model_answers_alike_the_proofs_own_words_stay() -> None:
    model = of_keras(_autoencoder(layers.Activation("relu")), "m")
    with (
        pytest.raises(ProofError, match=r"^the pieces differ$"),
        chance_named(model.graph, model.run, {"x": np.ones((3, 6), np.float32)}),
    ):
        raise ProofError("the pieces differ")
