"""A lossless WebP takes no more memory than its pixels and the tables that encoders make."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from splitway.errors import InvalidInput, TooLarge
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.kinds.image.vp8l import MAX_SETS, check_sets
from splitway.kinds.image.webp import look_at_webp
from splitway.manifest import Preprocessing
from tests.security.attack_pictures import webp_of_many_codes

TARGET = Preprocessing(height=64, width=64, crop=1, resample="bilinear", range=(0, 255), datatype="UINT8")


def encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **options)
    return buffer.getvalue()


def picture(kind: str, side: int = 90) -> Image.Image:
    pixels = np.random.default_rng(7).integers(0, 256, (side, side + 5, 4), dtype=np.uint8)
    if kind == "few colours":
        pixels = pixels // 100 * 60
    if kind == "smooth":
        pixels = np.sort(np.sort(pixels, axis=0), axis=1)
    return Image.fromarray(pixels, "RGBA")


@pytest.mark.parametrize("kind", ["noise", "few colours", "smooth"])
@pytest.mark.parametrize("method", [0, 3, 4])
@pytest.mark.parametrize("quality", [20, 100])
def test_what_an_encoder_writes_is_read(kind: str, method: int, quality: int) -> None:
    data = encoded(picture(kind), lossless=True, method=method, quality=quality)
    (stream,) = look_at_webp(data).streams
    check_sets(data[stream.start : stream.end], 0, 0, has_header=True)


def test_lossless_alpha_and_the_first_frame_of_an_animation_are_found() -> None:
    image = picture("smooth")
    (alpha,) = look_at_webp(encoded(image, quality=50, alpha_quality=100)).streams
    assert (alpha.has_header, alpha.width, alpha.height) == (False, *image.size)
    moving = encoded(image, lossless=True, save_all=True, append_images=[image.rotate(90)])
    (first,) = look_at_webp(moving).streams
    assert first.has_header
    assert look_at_webp(encoded(image.convert("RGB"))).streams == ()
    for data in (encoded(image, quality=50), moving):
        (stream,) = look_at_webp(data).streams
        check_sets(data[stream.start : stream.end], *stream[2:4], has_header=stream.has_header)


def test_a_table_for_every_few_pixels_is_refused_before_it_is_made() -> None:
    """At first it was decoded, in 380 MB and 0.5 s for a file of 295 kB that says that it has a megapixel."""
    bomb = webp_of_many_codes(1024)
    assert len(bomb) < 300_000
    with pytest.raises(TooLarge, match=f"more than {MAX_SETS} sets of prefix codes"):
        PictureDecoder(TARGET, PictureLimits())(bomb)


def test_fewer_tables_are_taken_and_counted() -> None:
    data = webp_of_many_codes(1024, tile_bits=5)
    assert PictureDecoder(TARGET, PictureLimits())(data).shape == (64, 64, 3)
    picture_ = look_at_webp(data)
    plain = look_at_webp(data[:12] + b"VP8X" + data[16:])._replace(width=1024, height=1024)
    assert picture_.memory_bytes((64, 64)) > plain.memory_bytes((64, 64))


def test_a_stream_that_cannot_be_read_is_damaged() -> None:
    bomb = webp_of_many_codes(1024)
    for damaged in (bomb[:25] + b"\xff" * 40 + bomb[65:], bomb[:20] + b"\0" + bomb[21:]):
        with pytest.raises(InvalidInput, match="damaged"):
            PictureDecoder(TARGET, PictureLimits())(damaged)


@pytest.mark.parametrize("length", [0, 1, 5, 6, 8, 12])
def test_a_stream_that_ends_early_is_an_error(length: int) -> None:
    data = encoded(picture("smooth"), lossless=True)
    with pytest.raises(ValueError, match=r"ends early|has no"):
        check_sets(data[20 : 20 + length], 0, 0, has_header=True)
