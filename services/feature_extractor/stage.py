"""Pictures or pixels to the backbone's input, the backbone's output to features."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from splitway.bundle import FEATURES, IMAGE, PIXELS, Bundle
from splitway.errors import BundleError
from splitway.preprocessing import FORMATS, PictureDecoder, PictureLimits, to_model_input
from splitway.runtime.engine import Arrays
from splitway.runtime.stage import GoOn, Tensors, features_tensor
from splitway.wire.tensor import BYTES, Buffer, Tensor, TensorSpec
from splitway.wire.v2_json import InferRequest


class FeatureExtractor:
    """Takes `image` (encoded pictures) or `pixels` (UINT8, already cropped and resized), gives `features`."""

    def __init__(self, bundle: Bundle, limits: PictureLimits) -> None:
        if bundle.manifest.preprocessing is None:
            raise BundleError(f"{bundle.folder}: an extractor's manifest must say how pictures are preprocessed")
        self._bundle = bundle
        self._target = bundle.manifest.preprocessing
        self._decode = PictureDecoder(self._target, limits)
        self._input = bundle.manifest.inputs[0].name
        self.accepts = (
            TensorSpec(IMAGE, BYTES, (-1,)),
            TensorSpec(PIXELS, "UINT8", (-1, self._target.height, self._target.width, 3)),
        )
        self.gives = tuple(entry.spec for entry in bundle.manifest.outputs)

    def warm_up(self) -> None:
        """Load the decoders by decoding one small picture of each format."""
        for format_ in FORMATS:
            picture = io.BytesIO()
            Image.new("RGB", (8, 8)).save(picture, format_)
            self._decode(picture.getvalue())

    def check(self, request: InferRequest) -> None:
        """Any picture may come; whether it can be decoded shows when it is."""

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

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        return [features_tensor(self._bundle, {FEATURES: outputs[FEATURES]})]
