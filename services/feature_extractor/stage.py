"""Pictures or pixels to the backbone's input, the backbone's output to features."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitway.bundle import Bundle
from splitway.errors import BundleError
from splitway.manifest import IMAGE, PIXELS, Preprocessing
from splitway.preprocessing import FORMATS, PictureDecoder, PictureLimits, to_model_input
from splitway.runtime.engine import Arrays
from splitway.runtime.settings import StageSettings
from splitway.runtime.stage import GoOn, Stage, Tensors, TensorStage
from splitway.wire.tensor import BYTES, Buffer, TensorSpec


def make_extractor(bundle: Bundle, settings: StageSettings) -> Stage:
    """A backbone of pictures, or one of tensors as they are."""
    if bundle.manifest.preprocessing is None:
        return TensorStage(bundle)
    return PictureExtractor(
        bundle, bundle.manifest.preprocessing, PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels)
    )


class PictureExtractor(TensorStage):
    """Takes `image` (encoded pictures) or `pixels` (UINT8, already cropped and resized), gives features."""

    def __init__(self, bundle: Bundle, target: Preprocessing, limits: PictureLimits) -> None:
        super().__init__(bundle)
        if len(bundle.manifest.inputs) != 1:
            raise BundleError(f"{bundle.folder}: a backbone of pictures takes one tensor, not several")
        self._target = target
        self._decode = PictureDecoder(target, limits)
        self._input = bundle.manifest.inputs[0].name
        self.accepts = (
            (TensorSpec(IMAGE, BYTES, (-1,)),),
            (TensorSpec(PIXELS, "UINT8", (-1, target.height, target.width, 3)),),
        )

    def warm_up(self) -> None:
        """Load the decoders by decoding one small picture of each format."""
        for format_ in FORMATS:
            picture = io.BytesIO()
            Image.new("RGB", (8, 8)).save(picture, format_)
            self._decode(picture.getvalue())

    def needs_decoding(self, tensors: Tensors) -> bool:
        return IMAGE in tensors

    def decode(self, tensors: Tensors, go_on: GoOn) -> Arrays:
        if IMAGE in tensors:
            pixels = np.stack([self._decode_next(element, go_on) for element in tensors[IMAGE].elements])
        else:
            pixels = tensors[PIXELS].array
        return {self._input: to_model_input(pixels, self._target)}

    def _decode_next(self, element: Buffer, go_on: GoOn) -> NDArray[np.uint8]:
        go_on()
        return self._decode(element)
