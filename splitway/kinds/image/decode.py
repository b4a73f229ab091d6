"""From an encoded picture to the backbone's pixels.

Everything here is part of the feature space: another crop or filter gives other features. An untrusted file is read by
`look` first; every limit is checked there, and only the parts with pixels in them reach Pillow's decoders.

What is cut short is refused. A JPEG must have its end marker, wherever it is cut, for libjpeg fills what is missing
with grey and does not say so; what stands before the end marker is taken as libjpeg takes it. A PNG must hold every
row; behind the last one, the stream's checksum and the last chunk may be missing, as libpng has it. A WebP must have
all the bytes that it announces.
"""

from __future__ import annotations

import logging
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from splitway.errors import InvalidInput, SplitwayError, TooLarge, in_one_line
from splitway.kinds.image.kind import PICTURES
from splitway.kinds.image.limits import PictureLimits, check_memory, check_seconds
from splitway.kinds.image.look import Picture, look
from splitway.kinds.image.pixels import rgb
from splitway.manifest import Preprocessing, Standardisation
from splitway.names import PIXELS
from splitway.wire.tensor import Buffer, TensorSpec

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_SIDE = 65_535
"""Pixels of one side, which is as far as a JPEG reaches: each row costs memory of its own."""
_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
_TURNS: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow says of a picture is nothing that an operator could act on, and callers could fill the log with it.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def accepted_pictures(target: Preprocessing) -> tuple[tuple[TensorSpec, ...], ...]:
    """What may be given of pictures: encoded ones, or pixels that are cropped and resized already."""
    return (PICTURES,), (TensorSpec(PIXELS, "UINT8", (-1, target.height, target.width, 3)),)


class PictureDecoder:
    """Decodes pictures to a target; may be used from several threads."""

    def __init__(self, target: Preprocessing, limits: PictureLimits) -> None:
        self._target = target
        self._limits = limits
        self._longest_side = max(target.width, target.height)

    def __call__(self, data: Buffer) -> NDArray[np.uint8]:
        """Return the picture's pixels as `decode` does, after `look` and the limit on memory. Raises as these do."""
        picture = self.look(data)
        check_memory(picture, self.memory_bytes(picture), self._limits.max_memory_bytes)
        return self.decode(picture)

    def look(self, data: Buffer) -> Picture:
        """Read a picture's header and check every limit but that on memory.

        Raises:
            TooLarge: more bytes, pixels or seconds than the limits allow.
            InvalidInput: not a JPEG, PNG or WebP, or damaged where that is seen without decoding it.
        """
        limits = self._limits
        if len(data) > limits.max_bytes:
            raise TooLarge(f"the picture has {len(data)} bytes; at most {limits.max_bytes} are allowed")
        picture = look(data)
        if picture is None:
            raise InvalidInput("the bytes are not a JPEG, PNG or WebP picture")
        width, height = picture.width, picture.height
        if width * height > limits.max_pixels:
            raise TooLarge(
                f"the picture has {width} x {height} pixels; at most {limits.max_pixels} in total are allowed"
            )
        if max(width, height) > MAX_SIDE:
            raise TooLarge(f"the picture has {width} x {height} pixels; at most {MAX_SIDE} on a side are allowed")
        if picture.damage is not None or not width or not height:
            why = picture.damage or "its header does not say how large it is"
            raise InvalidInput(f"the {picture.name} is damaged or cut short: {why}")
        check_seconds(picture, limits.max_seconds)
        return picture

    def memory_bytes(self, picture: Picture) -> int:
        """Return the bytes of memory that decoding takes at most, its file included."""
        return picture.memory_bytes((self._longest_side, self._longest_side))

    def decode(self, picture: Picture) -> NDArray[np.uint8]:
        """Return the picture's pixels as UINT8 [height, width, 3], upright, cropped and resized.

        Grey, palette, alpha (over white), CMYK and 16-bit pictures become RGB; EXIF orientation is applied; of an
        animation the first frame counts.

        Raises:
            TooLarge: there is no memory for it.
            InvalidInput: it is damaged or truncated.
        """
        try:
            return self._decode(picture)
        except SplitwayError:
            raise
        except (Image.DecompressionBombError, MemoryError) as error:
            raise TooLarge("the picture is too large to decode", private=in_one_line(error)) from error
        except UnidentifiedImageError:
            raise InvalidInput(f"the bytes are not a {picture.name} picture that can be read") from None
        except Exception as error:  # on damaged bytes Pillow's decoders raise whatever they stumble over
            raise InvalidInput("the picture is damaged or cut short", private=in_one_line(error)) from error

    def _decode(self, picture: Picture) -> NDArray[np.uint8]:
        target = self._target
        image, orientation = rgb(picture, (target.width, target.height))
        turn = _TURNS.get(orientation)
        if turn is not None:
            image = image.transpose(turn)
        box = _crop_box(image.width, image.height, target)
        resized = image.resize((target.width, target.height), _RESAMPLE[target.resample], box=box)
        return np.asarray(resized, dtype=np.uint8)


def _crop_box(width: int, height: int, target: Preprocessing) -> tuple[float, float, float, float]:
    """The largest centred window of the target's aspect ratio, shrunk to the share that is kept."""
    scale = min(width / target.width, height / target.height) * target.crop
    half_width, half_height = target.width * scale / 2, target.height * scale / 2
    return (
        max(0.0, width / 2 - half_width),
        max(0.0, height / 2 - half_height),
        min(float(width), width / 2 + half_width),
        min(float(height), height / 2 + half_height),
    )


def to_model_input(pixels: NDArray[np.uint8], target: Preprocessing) -> NDArray[Any]:
    """Make of UINT8 pixels [n, height, width, 3] what the model takes, in its type and its order of channels."""
    if target.datatype == "UINT8":
        return pixels
    if target.range is None:
        assert target.standardise is not None, "a manifest has one of the two"
        return _standardised(pixels, target.standardise)
    low, high = target.range
    return pixels.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)


def _standardised(pixels: NDArray[np.uint8], how: Standardisation) -> NDArray[np.float32]:
    made = np.empty(pixels.shape, np.float32)
    for at, table in enumerate(_tables(how)):
        channel = at if how.channels == "RGB" else 2 - at
        made[..., at] = table[pixels[..., channel]]
    return made


@lru_cache(maxsize=16)
def _tables(how: Standardisation) -> list[NDArray[np.float32]]:
    """What each of the 256 values of a pixel becomes, for each channel that the model takes."""
    scaled = np.arange(256, dtype=np.float32) / np.float32(how.divisor)
    parts = zip(how.mean, how.deviation, strict=True)
    return [(scaled - np.float32(mean)) / np.float32(deviation) for mean, deviation in parts]
