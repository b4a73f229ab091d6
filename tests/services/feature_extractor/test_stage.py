from __future__ import annotations

import pytest

from services.feature_extractor.stage import FeatureExtractor
from splitway.bundle import Bundle
from splitway.errors import BundleError
from splitway.preprocessing import PictureDecoder, PictureLimits
from splitway.wire.tensor import Tensor
from tests.support import random_pixels


def test_a_picture_and_its_pixels_are_the_same_input(extractor_bundle: Bundle, cat: bytes) -> None:
    stage = FeatureExtractor(extractor_bundle, PictureLimits())
    preprocessing = extractor_bundle.manifest.preprocessing
    assert preprocessing is not None
    pixels = PictureDecoder(preprocessing, PictureLimits())(cat)[None]
    from_picture = stage.decode({"image": Tensor.of_bytes("image", [cat])}, lambda: None)
    from_pixels = stage.decode({"pixels": Tensor.of_array("pixels", pixels)}, lambda: None)
    assert from_picture["pixels"].tobytes() == from_pixels["pixels"].tobytes()


def test_only_pictures_need_a_thread(extractor_bundle: Bundle, cat: bytes) -> None:
    stage = FeatureExtractor(extractor_bundle, PictureLimits())
    assert stage.needs_decoding({"image": Tensor.of_bytes("image", [cat])})
    assert not stage.needs_decoding({"pixels": Tensor.of_array("pixels", random_pixels(1))})


def test_a_bundle_that_does_not_say_how_to_preprocess_is_refused(head_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="how pictures are preprocessed"):
        FeatureExtractor(head_bundle, PictureLimits())
