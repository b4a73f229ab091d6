"""A SavedModel has operations and no layers: what Keras named is still where it can be cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splitway.errors import ModelError
from splitway.split.cut import cut_model, feature_space
from splitway.split.cuts import best_cut, find_cuts
from splitway.split.source import fingerprint, load_model
from tests.splitway.split.test_cut import pictures, through

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
