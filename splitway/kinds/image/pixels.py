"""An encoded picture to an RGB image, in as little memory as Pillow's decoders allow.

What is transparent shows white, however a file says it. Whole pictures are held once; everything that would copy one is
done in strips.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, _webp

from splitway.errors import InvalidInput
from splitway.kinds.image.jpeg import Jpeg
from splitway.kinds.image.look import Picture
from splitway.kinds.image.orientation import orientation
from splitway.kinds.image.parts import MARGIN, Target, reduction
from splitway.kinds.image.png import Png
from splitway.kinds.image.webp import Webp

_SIDEWAYS = (5, 6, 7, 8)
_REDUCIBLE_MODES = ("L", "LA", "RGB", "RGBA", "RGBX", "CMYK")
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_STRIP_PIXELS = 1 << 17
_MARKS: dict[str, tuple[int, ...]] = {
    "L": (1,),
    "P": (1,),
    "LA": (1, 5),
    "RGB": (1, 254, 3),
    "RGBA": (1, 254, 3, 5),
}
"""What the last row holds of each mode until it is decoded: a colour that few rows are of."""
_SOON_UNPACKED_BYTES = 1 << 14
"""So few bytes of pixels are unpacked once more sooner than the last row is marked and looked at."""
Key = tuple[int, ...]
_Pixels = NDArray[np.uint8]


def rgb(picture: Picture, target: Target) -> tuple[Image.Image, int]:
    """Decode a picture; return it and its orientation, 1 to 8 as EXIF numbers them.

    It is not turned, but shrunk by whole factors while twice the target's size remains: upright, `target` is its width
    and height. What is wrong with the picture, Pillow says by any exception.
    """
    if isinstance(picture, Webp):
        return _webp_rgb(picture, target)
    turned = picture.orientation()
    target = _before_turning(target, turned)
    return (_png_rgb(picture, target) if isinstance(picture, Png) else _jpeg_rgb(picture, target)), turned


def _before_turning(target: Target, turned: int) -> Target:
    return (target[1], target[0]) if turned in _SIDEWAYS else target


def _jpeg_rgb(picture: Jpeg, target: Target) -> Image.Image:
    image = _open(picture, picture.for_decoder())
    if picture.shrinks:
        image.draft(None, (target[0] * MARGIN, target[1] * MARGIN))
    image.load()
    return _to_small_rgb(image, target, _part)


def _png_rgb(picture: Png, target: Target) -> Image.Image:
    encoded, key = picture.for_decoder(), picture.key
    image = _open(picture, encoded)
    _load_png(image, picture)
    if key is None:
        return _to_small_rgb(image, target, _part)
    if picture.has_deep_key:
        low = _open(picture, encoded)
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]  # the other byte of each sample
        low.load()
        return _to_small_rgb(image, target, lambda part, factor, box: _keyed_48_bits(part, low, box, key, factor))
    of_mode = key if image.mode in ("RGB", "I;16") else (key[0] * 255 // ((1 << picture.header.depth) - 1),)
    return _to_small_rgb(image, target, lambda part, factor, _: _keyed(part, of_mode, factor))


def _load_png(image: ImageFile.ImageFile, picture: Png) -> None:
    """Decode it. Raises InvalidInput where its pixels end early: Pillow leaves the rows that are missing black."""
    mark = _MARKS.get(image.mode)
    if mark is None or picture.header.interlaced or picture.raw_bytes <= _SOON_UNPACKED_BYTES:
        image.load()
        holds_last_row = False
    else:
        holds_last_row = _loads_last_row(image, mark)
    if not (holds_last_row or picture.holds_every_row()):
        raise InvalidInput("the picture is damaged or cut short: its pixels end before its last row")


def _webp_rgb(picture: Webp, target: Target) -> tuple[Image.Image, int]:
    """Through Pillow's animation decoder, without the copy of each frame that Pillow makes for itself."""
    picture.check_streams()
    decoder: Any = _webp.WebPAnimDecoder(bytes(picture.data))
    size, *_, mode = decoder.get_info()
    _check_size(picture, size)
    turned = orientation(decoder.get_chunk("EXIF") or b"", decoder.get_chunk("XMP ") or b"")
    frame = decoder.get_next()
    del decoder  # and its two canvases
    if frame is None:
        raise ValueError("the first frame cannot be decoded")
    image = Image.frombuffer(mode, size, frame[0], "raw", mode, 0, 1)
    return _to_small_rgb(image, _before_turning(target, turned), _part), turned


def _open(picture: Jpeg | Png, encoded: bytes) -> ImageFile.ImageFile:
    image = Image.open(io.BytesIO(encoded), formats=(picture.name,))
    assert isinstance(image, ImageFile.ImageFile)
    _check_size(picture, image.size)
    return image


def _check_size(picture: Picture, size: tuple[int, int]) -> None:
    """What is decoded must be what was weighed."""
    if size != (picture.width, picture.height):
        raise InvalidInput(f"the picture is damaged: its size is {picture.width} x {picture.height} and {size}")


def _loads_last_row(image: ImageFile.ImageFile, mark: Key) -> bool:
    """Decode a picture; whether its last row is certain to have been decoded."""
    last = (0, image.height - 1, image.width, image.height)
    ImageFile.ImageFile.load_prepare(image)
    image.im.paste(mark if len(mark) > 1 else mark[0], last)
    image.load()
    return _extremes(image.crop(last)) != tuple((each, each) for each in mark)


def _extremes(image: Image.Image) -> tuple[tuple[int, int], ...]:
    found: Any = image.getextrema()
    return found if isinstance(found[0], tuple) else (found,)


_MakePart = Callable[[Image.Image, int, tuple[int, int, int, int]], Image.Image]
"""Makes RGB of a part of a picture, shrunk by a factor; the box says which part it is."""


def _to_small_rgb(image: Image.Image, target: Target, part: _MakePart) -> Image.Image:
    """Make RGB of a picture of any mode, strip by strip where it is large, and give its memory back."""
    width, height = image.size
    keyed = part is not _part
    may_shrink = image.mode in _REDUCIBLE_MODES or (keyed and image.mode != "1")
    factor = max(1, reduction(width, height, target)) if may_shrink else 1
    if image.mode == "RGB" and not keyed:
        return image.reduce(factor) if factor > 1 else image
    if width * height <= _STRIP_PIXELS:
        return part(image, factor, (0, 0, width, height))
    made = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, _STRIP_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        box = (0, top, width, min(height, top + rows))
        made.paste(part(image.crop(box), factor, box), (0, top // factor))
    image.close()
    return made


def _part(image: Image.Image, factor: int, _: tuple[int, int, int, int]) -> Image.Image:
    if image.mode == "RGBX":
        image = image.convert("RGB")
    return to_rgb(image.reduce(factor) if factor > 1 else image)


def _keyed(image: Image.Image, key: Key, factor: int) -> Image.Image:
    """With a colour that is transparent, of samples as deep as the image's."""
    if image.mode == "I;16":
        deep = np.asarray(image)
        rgba = _with_alpha(np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2), deep == key[0])
    else:
        image.info["transparency"] = key if len(key) > 1 else key[0]
        rgba = image.convert("RGBA")
    return to_rgb(rgba.reduce(factor) if factor > 1 else rgba)


def _keyed_48_bits(
    image: Image.Image, low: Image.Image, box: tuple[int, int, int, int], key: Key, factor: int
) -> Image.Image:
    """With a colour that is transparent, of which one image has the upper bytes and another the lower ones."""
    above, below = np.asarray(image), np.asarray(low.crop(box))
    is_key = np.full(above.shape[:2], True)
    for channel, sample in enumerate(key):
        is_key &= (above[..., channel] == sample >> 8) & (below[..., channel] == sample & 0xFF)
    rgba = _with_alpha(above, is_key)
    return to_rgb(rgba.reduce(factor) if factor > 1 else rgba)


def _with_alpha(rgb: _Pixels, transparent: NDArray[np.bool_]) -> Image.Image:
    alpha = np.where(transparent, np.uint8(0), np.uint8(255))
    return Image.fromarray(np.concatenate([rgb, alpha[..., None]], axis=2))


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
