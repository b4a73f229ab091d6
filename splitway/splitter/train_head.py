"""A new head on given features: a linear classifier, trained, exported, packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from splitway.bundle import write_manifest
from splitway.errors import ModelError
from splitway.manifest import Cut, Manifest, SourceModel
from splitway.names import PROBABILITIES
from splitway.splitter.export import entries, export_engines
from splitway.splitter.graph import Graph, Part
from splitway.splitter.pack import HeadAnswers, made_now

Features = Mapping[str, NDArray[Any]]
_BATCH, _LEAST_BATCH = 64, 8
_STEPS = 8
"""Steps of an epoch at least, in batches that get smaller for it; Keras does as many without looking up, or half the
time of a small set would be spent there."""
_EPOCHS = 100
_PATIENCE = 10
_LEAST_GAIN = 1e-3
_LEARNING_RATE = 4e-3
_L2 = 1e-2
_POOLING = {3: keras.layers.GlobalAveragePooling1D, 4: keras.layers.GlobalAveragePooling2D}
"""By the dimensions of features; those of others are flattened."""
_WATCHED_SHARE = 0.15
_LEAST_VARIANCE = 1e-4
"""The least variance of a feature, as a share of the mean variance: a smaller one would be amplified noise."""


@dataclass(frozen=True)
class Examples:
    """Rows of features and the number of each row's class."""

    features: Features
    classes: NDArray[np.int64]

    def rows(self, which: NDArray[np.int64]) -> Examples:
        """Some of them."""
        return Examples({name: array[which] for name, array in self.features.items()}, self.classes[which])


def stratified(
    classes: NDArray[np.int64], share: float, seed: int, *, least: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows into the most and a share of every class, by chance.

    Args:
        share: of each class that goes into the second part, rounded.
        seed: the same one gives the same parts.
        least: rows of each class that go into the second part in any case; one stays in the first.
    """
    rng = np.random.default_rng(seed)
    most, part = [], []
    for each in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == each))
        count = min(max(least, round(share * len(rows))), len(rows) - 1)
        part.append(rows[:count])
        most.append(rows[count:])
    return np.sort(np.concatenate(most)), np.sort(np.concatenate(part))


def train(examples: Examples, classes: int, seed: int) -> keras.Model:
    """Return a model with an input for each tensor of features and one output `probabilities`.

    It pools, standardises and classifies in one dense layer, so what goes in are features as they come. Raises
    ModelError if the features are no numbers.
    """
    keras.utils.set_random_seed(seed)
    inputs, pooled = _pooled(examples.features)
    vectors = keras.Model(inputs, pooled).predict(dict(examples.features), batch_size=_BATCH, verbose=0)
    variance = vectors.var(axis=0, dtype=np.float64)
    floor = max(float(variance.mean()) * _LEAST_VARIANCE, 1e-12)
    standardise = keras.layers.Normalization(
        mean=vectors.mean(axis=0), variance=np.maximum(variance, floor), name="standardise"
    )
    classify = keras.layers.Dense(
        classes, activation="softmax", kernel_regularizer=keras.regularizers.L2(_L2), name=PROBABILITIES
    )
    model = keras.Model(inputs, classify(standardise(pooled)))
    model.compile(keras.optimizers.Adam(_LEARNING_RATE), "sparse_categorical_crossentropy", steps_per_execution=_STEPS)
    _fit(model, examples, seed)
    return model


def _pooled(features: Features) -> tuple[list[Any], Any]:
    """Inputs for features of any shape, and the one vector that a row becomes."""
    inputs, vectors = [], []
    for name, array in features.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise ModelError(f"the features {name!r} are {array.dtype}: a head is trained on floating-point numbers")
        tensor = keras.Input(array.shape[1:], name=name, dtype=str(array.dtype))
        inputs.append(tensor)
        pooling = _POOLING.get(array.ndim, keras.layers.Flatten)
        vectors.append(tensor if array.ndim == 2 else pooling()(tensor))
    return inputs, vectors[0] if len(vectors) == 1 else keras.layers.Concatenate()(vectors)


def _fit(model: Any, examples: Examples, seed: int) -> None:
    """Train until the loss on a held-out part of the examples stops falling."""
    learnt, watched = stratified(examples.classes, _WATCHED_SHARE, seed, least=0)
    learn, watch = examples.rows(learnt), examples.rows(watched)
    stop = keras.callbacks.EarlyStopping(
        "val_loss" if len(watched) else "loss",
        min_delta=_LEAST_GAIN,
        patience=_PATIENCE,
        restore_best_weights=True,
    )
    model.fit(
        dict(learn.features),
        learn.classes,
        validation_data=(dict(watch.features), watch.classes) if len(watched) else None,
        batch_size=max(_LEAST_BATCH, min(_BATCH, len(learnt) // _STEPS)),
        epochs=_EPOCHS,
        callbacks=[stop],
        verbose=0,
    )


def run(model: Any, features: Features) -> dict[str, NDArray[Any]]:
    """The model's answers in Keras for these rows."""
    return {PROBABILITIES: model.predict(dict(features), batch_size=_BATCH, verbose=0)}


@dataclass(frozen=True)
class HeadPlan:
    """The facts that go into a head's bundle beside its model."""

    name: str
    version: str
    answers: HeadAnswers
    feature_space: str
    source: SourceModel
    cut: Cut


def pack_head(graph: Graph, plan: HeadPlan, folder: Path) -> Manifest:
    """Fill an empty folder with the head's bundle. Raises ModelError, SetupError."""
    (output,) = graph.outputs.values()
    part = Part(dict(graph.inputs), tuple(graph.steps), {PROBABILITIES: output})
    manifest = Manifest(
        name=plan.name,
        version=plan.version,
        role="head",
        inputs=entries(part.takes),
        outputs=entries(part.gives),
        engine_files=export_engines(part, folder, ("litert", "tensorflow")),
        engine="litert",
        feature_space=plan.feature_space,
        source_model=plan.source,
        cut=plan.cut,
        **made_now(),
        **plan.answers.write(folder),
    )
    write_manifest(folder, manifest)
    return manifest
