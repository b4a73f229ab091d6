"""From an encoded picture to the backbone's pixels.

Everything here is part of the feature space: another crop or filter gives other features. Untrusted bytes are counted
first, and then met by Pillow alone, restricted to three decoders, with every limit checked before pixels are decoded.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from splitway.errors import InvalidInput, SplitwayError, TooLarge, in_one_line
from splitway.manifest import Preprocessing
from splitway.picture_structure import check_side, check_structure, is_modest
from splitway.wire.tensor import Buffer

FORMATS = ("JPEG", "PNG", "WEBP")
_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
_MARGIN = 2  # a large picture may be decoded or shrunk while this many times the target's size remains
_LARGE_PIXELS = 4_000_000
_ORIENTATION = 0x0112
_EXIF_AS_TEXT, _LONGEST_EXIF_AS_TEXT = "Raw profile type exif", 128 * 1024  # as ImageMagick puts it into a PNG
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 1024 * 1024  # characters of all texts in a PNG; each may take four bytes
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]
_REDUCIBLE_MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True)
class PictureLimits:
    """What one picture may cost."""

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 25_000_000


class PictureDecoder:
    """Decodes pictures from several threads, large ones one at a time so that their memory does not add up.

    Args:
        target: what the pixels are to become.
        limits: what one picture may cost.
    """

    def __init__(self, target: Preprocessing, limits: PictureLimits) -> None:
        self._target = target
        self._limits = limits
        self._one_large_at_a_time = threading.Lock()

    def __call__(self, data: Buffer) -> NDArray[np.uint8]:
        """Return the picture's pixels as UINT8 [height, width, 3], upright, cropped and resized.

        Grey, palette, alpha (over white), CMYK and 16-bit pictures become RGB; EXIF orientation is applied; of an
        animation the first frame counts.

        Raises:
            TooLarge: more bytes or pixels than the limits allow.
            InvalidInput: not a JPEG, PNG or WebP, or truncated.
        """
        if len(data) > self._limits.max_bytes:
            raise TooLarge(f"the picture has {len(data)} bytes; at most {self._limits.max_bytes} are taken")
        try:
            whole = bytes(data)
            check_structure(whole)
            with Image.open(io.BytesIO(whole), formats=FORMATS) as image:
                return self._decode(image)
        except SplitwayError:
            raise
        except (Image.DecompressionBombError, MemoryError) as error:
            raise TooLarge("the picture is too large to decode", private=in_one_line(error)) from error
        except UnidentifiedImageError:
            raise InvalidInput("the bytes are not a JPEG, PNG or WebP picture") from None
        except Exception as error:  # on damaged bytes Pillow's decoders raise whatever they stumble over
            raise InvalidInput("the picture is damaged or cut short", private=in_one_line(error)) from error

    def _decode(self, image: Image.Image) -> NDArray[np.uint8]:
        if image.width * image.height > self._limits.max_pixels:
            size = f"{image.width} x {image.height}"
            raise TooLarge(f"the picture has {size} pixels; at most {self._limits.max_pixels} in all are taken")
        check_side(image.width, image.height)
        if image.format != "PNG":  # whose orientation may stand after its pixels
            width, height = self._size(_turn(image))
            image.draft(None, (width * _MARGIN, height * _MARGIN))
        if image.width * image.height < _LARGE_PIXELS:
            return self._to_pixels(image)
        with self._one_large_at_a_time:
            return self._to_pixels(image)

    def _to_pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        image.load()
        turn = _turn(image)
        width, height = self._size(turn)
        rgb = to_rgb(_shrunk(image, min(image.width // width, image.height // height) // _MARGIN))
        if turn is not None:
            rgb = rgb.transpose(turn)
        target = self._target
        box = _crop_box(rgb.width, rgb.height, target)
        resized = rgb.resize((target.width, target.height), _RESAMPLE[target.resample], box=box)
        return np.asarray(resized, dtype=np.uint8)

    def _size(self, turn: Image.Transpose | None) -> tuple[int, int]:
        """Width and height of the target before the picture is turned upright."""
        upright = (self._target.width, self._target.height)
        return (upright[1], upright[0]) if turn in _SIDEWAYS else upright


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes the picture upright."""
    return _TURNS.get(_orientation(image))


def _orientation(image: Image.Image) -> object:
    """The EXIF orientation; upright where the picture's EXIF cannot be read."""
    try:
        if not is_modest(image.info.get("exif", b"")) or len(image.info.get(_EXIF_AS_TEXT, "")) > _LONGEST_EXIF_AS_TEXT:
            return 1
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF is a format of its own, with as many ways to be damaged
        return 1


def _shrunk(image: Image.Image, factor: int) -> Image.Image:
    """Shrink a large picture by a whole factor before anything makes full-size copies of it."""
    if factor < 2 or image.mode not in _REDUCIBLE_MODES:
        return image
    return image.reduce(factor)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode that the three formats know; what is transparent shows white."""
    if image.mode == "RGB":
        return image
    if image.mode in _SIXTEEN_BIT_MODES:
        scaled = (np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, (255, 255, 255))
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        return rgb
    return image.convert("RGB")


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
    """Scale UINT8 pixels to what the model takes."""
    if target.datatype == "UINT8":
        return pixels
    low, high = target.range
    return pixels.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
