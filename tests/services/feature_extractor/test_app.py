from __future__ import annotations

import pytest

from splitway.bundle import Bundle
from splitway.errors import BundleError
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.runtime.settings import StageSettings
from splitway.services.feature_extractor.app import make_extractor
from splitway.wire.tensor import Tensor
from testkit.support import random_pixels


def test_a_picture_and_its_pixels_are_the_same_input(extractor_bundle: Bundle, cat: bytes) -> None:
    stage = make_extractor(extractor_bundle, StageSettings())
    preprocessing = extractor_bundle.manifest.preprocessing
    assert preprocessing is not None
    pixels = PictureDecoder(preprocessing, PictureLimits())(cat)[None]
    from_picture = stage.decode({"image": Tensor.of_bytes("image", [cat])}, lambda: None)
    from_pixels = stage.decode({"pixels": Tensor.of_array("pixels", pixels)}, lambda: None)
    assert from_picture["pixels"].tobytes() == from_pixels["pixels"].tobytes()


def test_only_pictures_need_a_thread(extractor_bundle: Bundle, cat: bytes) -> None:
    stage = make_extractor(extractor_bundle, StageSettings())
    assert stage.needs_decoding({"image": Tensor.of_bytes("image", [cat])})
    assert not stage.needs_decoding({"pixels": Tensor.of_array("pixels", random_pixels(1))})


def test_a_bundle_without_preprocessing_takes_its_tensors_as_they_are(extractor_bundle: Bundle) -> None:
    manifest = extractor_bundle.manifest.model_copy(update={"preprocessing": None})
    stage = make_extractor(Bundle(extractor_bundle.folder, manifest, ()), StageSettings())
    assert [[spec.name for spec in alternative] for alternative in stage.accepts] == [["pixels"]]
    pixels = random_pixels(1)
    assert stage.decode({"pixels": Tensor.of_array("pixels", pixels)}, lambda: None)["pixels"] is pixels


def test_a_backbone_of_pictures_takes_one_tensor(extractor_bundle: Bundle) -> None:
    twice = extractor_bundle.manifest.inputs * 2
    bundle = Bundle(extractor_bundle.folder, extractor_bundle.manifest.model_copy(update={"inputs": twice}), ())
    with pytest.raises(BundleError, match="takes one tensor"):
        make_extractor(bundle, StageSettings())
