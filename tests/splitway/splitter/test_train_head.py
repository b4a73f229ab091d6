"""Heads trained on features of any shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from splitway.bundle import load_bundle
from splitway.errors import ModelError
from splitway.manifest import Cut, SourceModel
from splitway.runtime.inprocess import InProcessStage
from splitway.splitter.pack import HeadAnswers
from splitway.splitter.proof.prove import Question, prove
from splitway.splitter.readers.keras_graph import read_keras
from splitway.splitter.train_head import Examples, HeadPlan, pack_head, run, stratified, train

SPACE = "fs:0123456789abcdef"


def test_every_class_is_held_out_by_its_share_and_none_is_lost() -> None:
    classes = np.array([0] * 50 + [1] * 10 + [2] * 2)
    most, part = stratified(classes, 0.2, 1, least=1)
    assert np.bincount(classes[part]).tolist() == [10, 2, 1]
    assert sorted([*most, *part]) == list(range(len(classes)))
    assert stratified(classes, 0.2, 1, least=1)[1].tolist() == part.tolist()
    assert stratified(classes, 0.2, 2, least=1)[1].tolist() != part.tolist()


def test_several_tensors_of_any_rank_become_one_head(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    classes = np.arange(60) % 3
    shapes = {"features_1": (4,), "features_2": (5, 6), "features_3": (3, 3, 2), "features_4": (2, 2, 2, 2)}
    features = {
        name: (rng.normal(size=(60, *shape)) + 2 * classes.reshape(-1, *(1,) * len(shape))).astype(np.float32)
        for name, shape in shapes.items()
    }
    model = train(Examples(features, classes), 3, seed=1)
    answers = run(model, features)
    assert (answers["probabilities"].argmax(axis=1) == classes).mean() > 0.95
    source, cut = SourceModel(name="m", sha256="0" * 64, path="m"), Cut(layer="?", bytes_per_row=1)
    manifest = pack_head(
        read_keras(model), HeadPlan("shapes", "1", HeadAnswers(["a", "b", "c"]), SPACE, source, cut), tmp_path
    )
    assert {entry.name: entry.shape[1:] for entry in manifest.inputs} == shapes
    proof = prove(InProcessStage(load_bundle(tmp_path, role="head")), Question(features, answers), "litert")
    assert proof.against_uncut.max_abs <= 1e-4


def test_features_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ModelError, match="floating-point"):
        train(Examples({"features": np.zeros((4, 3), np.int64)}, np.array([0, 1, 0, 1])), 2, seed=1)
