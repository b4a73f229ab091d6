"""Both bundles as one function do what the stages do."""

from __future__ import annotations

import pytest

from splitway.bundle import Bundle
from splitway.errors import BundleError, TooLarge
from splitway.pictures.limits import PictureLimits
from splitway.preprocessing import PictureDecoder
from splitway.runtime.inprocess import InProcessStage, in_turn
from splitway.runtime.inprocess_chain import InProcessChain
from splitway.runtime.settings import StageSettings


def test_the_chain_gives_the_stages_answer_bit_for_bit(
    extractor_bundle: Bundle, head_bundle: Bundle, cat: bytes
) -> None:
    stages = InProcessStage(extractor_bundle), InProcessStage(head_bundle)
    preprocessing = extractor_bundle.manifest.preprocessing
    assert preprocessing is not None
    pixels = PictureDecoder(preprocessing, PictureLimits())(cat)[None]
    chain = InProcessChain(extractor_bundle, [], [head_bundle], StageSettings())
    answer = chain(cat)["classifier"]["probabilities"]
    assert answer.tobytes() == in_turn(stages, {"pixels": pixels})["probabilities"].tobytes()


def test_the_chain_keeps_the_stages_limits(extractor_bundle: Bundle, head_bundle: Bundle, cat: bytes) -> None:
    chain = InProcessChain(extractor_bundle, [], [head_bundle], StageSettings(max_picture_bytes=len(cat) - 1))
    with pytest.raises(TooLarge):
        chain(cat)


def test_bundles_of_different_feature_spaces_are_no_chain(extractor_bundle: Bundle, head_bundle: Bundle) -> None:
    manifest = head_bundle.manifest.model_copy(update={"feature_space": "fs:0123456789abcdef"})
    foreign = Bundle(head_bundle.folder, manifest, head_bundle.labels)
    with pytest.raises(BundleError, match="takes fs:0123456789abcdef"):
        InProcessChain(extractor_bundle, [], [foreign], StageSettings())
