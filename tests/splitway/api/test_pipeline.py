"""Both bundles as one function do what the stages do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.api import pipeline
from splitway.api.pipeline import Pipeline
from splitway.bundle import Bundle
from splitway.errors import BundleError, InvalidInput, TooLarge
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.runtime.engines.load import Engine, load_engine
from splitway.runtime.inprocess import InProcessStage, in_turn
from splitway.runtime.settings import StageSettings
from splitway.wire.tensor import Arrays


def test_the_chain_gives_the_stages_answer_bit_for_bit(
    extractor_bundle: Bundle, head_bundle: Bundle, cat: bytes
) -> None:
    stages = InProcessStage(extractor_bundle), InProcessStage(head_bundle)
    preprocessing = extractor_bundle.manifest.preprocessing
    assert preprocessing is not None
    pixels = PictureDecoder(preprocessing, PictureLimits())(cat)[None]
    chain = Pipeline(extractor_bundle, [], [head_bundle], StageSettings())
    answer = chain({"image": [cat]})["classifier"]["probabilities"]
    assert answer.tobytes() == in_turn(stages, {"pixels": pixels})["probabilities"].tobytes()


def test_the_chain_keeps_the_stages_limits(extractor_bundle: Bundle, head_bundle: Bundle, cat: bytes) -> None:
    chain = Pipeline(extractor_bundle, [], [head_bundle], StageSettings(max_picture_bytes=len(cat) - 1))
    with pytest.raises(TooLarge):
        chain({"image": [cat]})


def test_bundles_of_different_feature_spaces_are_no_chain(extractor_bundle: Bundle, head_bundle: Bundle) -> None:
    manifest = head_bundle.manifest.model_copy(update={"feature_space": "fs:0123456789abcdef"})
    foreign = Bundle(head_bundle.folder, manifest, head_bundle.labels)
    with pytest.raises(BundleError, match="takes fs:0123456789abcdef"):
        Pipeline(extractor_bundle, [], [foreign], StageSettings())


class _Overflowing:
    """An engine that gives infinity for all but zeros, as models do on inputs that they cannot bear."""

    name = "litert"

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        value = np.inf if any(array.any() for array in inputs.values()) else 0.5
        return {"features": np.full((1, 1280), value, np.float32), "probabilities": np.full((1, 1000), value, "f4")}


@pytest.mark.parametrize("role", ["extractor", "head"])
def test_no_part_of_the_chain_gives_nonsense_on(
    extractor_bundle: Bundle, head_bundle: Bundle, cat: bytes, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    def load(name: str, bundle: Bundle, threads: int) -> Engine:
        return _Overflowing() if bundle.manifest.role == role else load_engine(name, bundle, threads)

    monkeypatch.setattr(pipeline, "load_engine", load)
    chain = Pipeline(extractor_bundle, [], [head_bundle], StageSettings())
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        chain({"image": [cat]})
