"""An encoded picture, as the gateway measures it and the extractor decodes it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from splitway.errors import InvalidInput, TooLarge
from splitway.gateway.edge.cost import picture_cost
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.kinds.image.look import look
from splitway.manifest import Preprocessing
from testkit.support import picture
from tests.fuzz.target import Target

Image.init()  # every plugin is imported here and now, so that it is followed too
_TARGET = Preprocessing(height=24, width=32, crop=0.9, resample="bicubic", range=(0, 1), datatype="UINT8")
MAX_PIXELS = 1_000_000
_DECODE = PictureDecoder(_TARGET, PictureLimits(max_bytes=1 << 20, max_pixels=MAX_PIXELS))


def run(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about metadata; they go to no caller
        try:
            pixels = _DECODE(data)
        except (InvalidInput, TooLarge):
            return
        assert pixels.shape == (24, 32, 3)
        assert pixels.dtype == np.uint8
        assert np.array_equal(_DECODE(data), pixels), "the same picture gives other pixels"
        _costs_what_it_is(data)


def _costs_what_it_is(data: bytes) -> None:
    """What the decoder takes, the gateway has refused, or has charged for as many pixels: both read the same size, and
    Pillow's is compared with it before anything is decoded."""
    picture = look(data)
    assert picture is not None
    assert picture.damage is None
    assert picture.seconds >= 0
    assert picture.memory_bytes((32, 32)) >= len(data)
    assert picture_cost(data, PictureLimits(max_pixels=MAX_PIXELS)) >= picture.width * picture.height / MAX_PIXELS


def seeds() -> Iterator[bytes]:
    for mode in ("RGB", "L", "LA", "RGBA", "P", "1"):
        yield picture(mode, (40, 30), "PNG")
    deep = io.BytesIO()
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)).save(deep, "PNG")
    yield deep.getvalue()
    for mode in ("RGB", "L", "CMYK"):
        yield picture(mode, (40, 30), "JPEG", quality=60)
    yield picture("RGB", (40, 30), "JPEG", progressive=True, quality=50)
    yield picture("RGB", (40, 30), "WEBP", lossless=True)
    yield picture("RGBA", (40, 30), "WEBP", quality=40)
    exif = Image.Exif()
    exif[0x0112] = 6
    for format_ in ("JPEG", "PNG", "WEBP"):
        yield picture("RGB", (30, 40), format_, exif=exif)
    yield picture("RGB", (1200, 1000), "PNG")[:200]  # says more pixels than are taken
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for format_ in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, format_, save_all=True, append_images=frames[1:])
        yield buffer.getvalue()


TARGET = Target(
    run,
    seeds,
    (
        "IHDR",
        "IDAT",
        "PLTE",
        "tRNS",
        "iCCP",
        "eXIf",
        "acTL",
        "fcTL",
        "zTXt",
        "Exif\0\0",
        "RIFF",
        "WEBPVP8X",
        "VP8L",
        "ALPH",
    ),
    max_bytes=8192,
)
