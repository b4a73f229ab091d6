"""The feature extractor's app: pictures or pixels to the backbone's input, the backbone's output to features."""

from __future__ import annotations

import io

import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from splitway.bundle import Bundle
from splitway.errors import BundleError
from splitway.kinds.image.decode import FORMATS, PictureDecoder, accepted_pictures, to_model_input
from splitway.kinds.image.limits import LARGE_S, PictureLimits
from splitway.kinds.image.look import Picture
from splitway.manifest import Preprocessing
from splitway.memory_limit import give_large_blocks_back
from splitway.names import EXTRACTOR, IMAGE, PIXELS
from splitway.runtime.app import create_stage_app
from splitway.runtime.catalog.catalog import Scope
from splitway.runtime.decode_room import NOTHING, DecodeLoad
from splitway.runtime.settings import StageSettings
from splitway.runtime.stage import GoOn, Stage, Tensors
from splitway.wire.tensor import Arrays


def create_app(settings: StageSettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Serve the bundle `feature_extractor`."""
    return create_stage_app(Scope(EXTRACTOR, "extractor"), make_extractor, settings, exposed=exposed)


def make_extractor(bundle: Bundle, settings: StageSettings) -> Stage:
    """A backbone of pictures, or one of tensors as they are."""
    if bundle.manifest.preprocessing is None:
        return Stage(bundle)
    return PictureExtractor(bundle, bundle.manifest.preprocessing, settings.picture_limits)


class PictureExtractor(Stage):
    """Takes `image` (encoded pictures) or `pixels` (UINT8, already cropped and resized), gives features."""

    def __init__(self, bundle: Bundle, target: Preprocessing, limits: PictureLimits) -> None:
        super().__init__(bundle)
        if len(bundle.manifest.inputs) != 1:
            raise BundleError(f"{bundle.folder}: a backbone of pictures takes one tensor, not several")
        self._target = target
        self._decoder = PictureDecoder(target, limits)
        self._input = bundle.manifest.inputs[0].name
        self.accepts = accepted_pictures(target)

    def warm_up(self) -> None:
        """Load the decoders by decoding one small picture of each format."""
        give_large_blocks_back()
        for format_ in FORMATS:
            picture = io.BytesIO()
            Image.new("RGB", (8, 8)).save(picture, format_)
            self._decoder(picture.getvalue())

    def needs_decoding(self, tensors: Tensors) -> bool:
        return IMAGE in tensors

    def weigh(self, tensors: Tensors) -> DecodeLoad:
        """Read the pictures' headers. Raises InvalidInput and TooLarge for those that are not decoded."""
        if IMAGE not in tensors:
            return NOTHING
        decoder = self._decoder
        pictures = tuple(map(decoder.look, tensors[IMAGE].elements))
        memory = max(map(decoder.memory_bytes, pictures))
        return DecodeLoad(memory, max(picture.seconds for picture in pictures) > LARGE_S, pictures)

    def decode(self, tensors: Tensors, go_on: GoOn = lambda: None, load: DecodeLoad = NOTHING) -> Arrays:
        if IMAGE in tensors:
            pictures = (load if load is not NOTHING else self.weigh(tensors)).pictures
            pixels = np.stack([self._decode_next(picture, go_on) for picture in pictures])
        else:
            pixels = tensors[PIXELS].array
        return {self._input: to_model_input(pixels, self._target)}

    def _decode_next(self, picture: Picture, go_on: GoOn) -> NDArray[np.uint8]:
        go_on()
        return self._decoder.decode(picture)
