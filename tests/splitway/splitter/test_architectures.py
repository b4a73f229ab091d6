"""Families of keras.applications, small and with random weights, in the middle of a skip connection.

The pieces are run by TensorFlow as they stand; `make bench WHAT=architectures` exports and proves models of full size.
"""

from __future__ import annotations

import numpy as np
import pytest

from splitway.splitter.cut import cut_model
from splitway.splitter.cuts import best_cut, find_cuts
from splitway.splitter.readers.keras_graph import read_keras
from tests.splitway.splitter.test_cut import through

SIDE = 32
FAMILIES = {
    "VGG16": 1,
    "ResNet50V2": 2,
    "DenseNet121": 2,
    "Xception": 2,
    "MobileNetV2": 2,
    "MobileNetV3Small": 3,
    "EfficientNetB0": 2,
    "ConvNeXtTiny": 2,
}
"""And how many tensors cross nearest to half of the work."""


@pytest.mark.parametrize("name", FAMILIES)
def test_the_pieces_give_what_the_whole_gives(name: str) -> None:
    import keras

    keras.utils.set_random_seed(1)
    side = 72 if name == "Xception" else SIDE
    model = getattr(keras.applications, name)(weights=None, input_shape=(side, side, 3), include_top=False)
    graph = read_keras(model)
    cuts = find_cuts(graph)
    possible = [cut for cut in cuts if cut.why_not is None and len(cut.tensors) >= FAMILIES[name]]
    middle = min(possible, key=lambda cut: abs(cut.flops_before - 0.5))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    expected = model(pixels, training=False).numpy()
    assert len(middle.tensors) == FAMILIES[name]
    for at in {middle.layer, best_cut(cuts).layer}:
        np.testing.assert_array_equal(through(cut_model(graph, [at]), pixels)[0], expected)
