"""From an encoded picture to the backbone's pixels.

Everything here is part of the feature space: another crop or filter gives other features. Untrusted bytes are met by
Pillow alone, restricted to three decoders, with every limit checked before pixels are decoded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from splitway.bundle import Preprocessing
from splitway.errors import InvalidInput, TooLarge
from splitway.wire.tensor import Buffer

FORMATS = ("JPEG", "PNG", "WEBP")
_RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}
_DRAFT_MARGIN = 2  # a JPEG may be decoded at a fraction of its size while this many times the target's size remains
_ORIENTATION = 0x0112
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")


@dataclass(frozen=True)
class PictureLimits:
    """What one picture may cost."""

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 25_000_000


def decode_picture(data: Buffer, target: Preprocessing, limits: PictureLimits) -> NDArray[np.uint8]:
    """Return the picture's pixels as UINT8 [height, width, 3], upright, cropped and resized.

    Grey, palette, alpha (over white), CMYK and 16-bit pictures become RGB; EXIF orientation is applied; of an animation
    the first frame counts.

    Raises:
        TooLarge: more bytes or pixels than the limits allow.
        InvalidInput: not a JPEG, PNG or WebP, or truncated.
    """
    if len(data) > limits.max_bytes:
        raise TooLarge(f"the picture has {len(data)} bytes; at most {limits.max_bytes} are taken")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > limits.max_pixels:
                size = f"{image.width} x {image.height}"
                raise TooLarge(f"the picture has {size} pixels; at most {limits.max_pixels} in all are taken")
            return _to_pixels(image, target)
    except Image.DecompressionBombError as error:
        raise TooLarge(f"the picture is too large to decode: {error}") from error
    except UnidentifiedImageError:
        raise InvalidInput("the bytes are not a JPEG, PNG or WebP picture") from None
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError) as error:
        # What Pillow's decoders raise on bytes that are cut short or contradict themselves.
        raise InvalidInput(f"the picture is damaged or cut short: {error}") from error


def _to_pixels(image: Image.Image, target: Preprocessing) -> NDArray[np.uint8]:
    turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    size = (target.height, target.width) if turned else (target.width, target.height)
    image.draft(None, (size[0] * _DRAFT_MARGIN, size[1] * _DRAFT_MARGIN))
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    upright = to_rgb(image)
    box = _crop_box(upright.width, upright.height, target)
    resized = upright.resize((target.width, target.height), _RESAMPLE[target.resample], box=box)
    return np.asarray(resized, dtype=np.uint8)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode that the three formats know; what is transparent shows white."""
    if image.mode == "RGB":
        return image
    if image.mode in _SIXTEEN_BIT_MODES:
        scaled = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
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
