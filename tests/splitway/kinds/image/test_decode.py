from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from splitway.errors import InvalidInput, SplitwayError, TooLarge
from splitway.kinds.image.decode import PictureDecoder, to_model_input
from splitway.kinds.image.limits import PictureLimits
from splitway.manifest import Preprocessing
from testkit.support import picture

TARGET = Preprocessing(height=32, width=32, crop=1.0, resample="bilinear", range=(0.0, 255.0), datatype="UINT8")
LIMITS = PictureLimits(max_bytes=1_000_000, max_pixels=100_000)


def decode(data: bytes) -> NDArray[np.uint8]:
    return PictureDecoder(TARGET, LIMITS)(data)


@pytest.mark.parametrize(
    ("mode", "format_"),
    [
        ("RGB", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGB", "PNG"),
        ("L", "PNG"),
        ("1", "PNG"),
        ("P", "PNG"),
        ("LA", "PNG"),
        ("RGBA", "PNG"),
        ("I;16", "PNG"),
        ("RGB", "WEBP"),
        ("RGBA", "WEBP"),
    ],
)
def test_every_mode_of_every_format_becomes_rgb(mode: str, format_: str) -> None:
    source = Image.linear_gradient("L").resize((64, 64))
    image = Image.fromarray(np.asarray(source).astype(np.uint16) * 257) if mode == "I;16" else source.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format_, **({"lossless": True} if format_ == "WEBP" else {}))
    pixels = decode(buffer.getvalue())
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    # The gradient runs from black above to white below, whatever it was stored as.
    assert pixels[:8].mean() < 60
    assert pixels[-8:].mean() > 195


def test_a_transparent_palette_shows_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30] * 256)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    assert (decode(buffer.getvalue()) == 255).all()


def test_what_is_transparent_shows_white() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(buffer, "PNG")
    assert (decode(buffer.getvalue()) == 255).all()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(format_: str, orientation: int) -> None:
    upright = Image.new("RGB", (40, 40))
    upright.paste((255, 0, 0), (0, 0, 20, 20))
    turn = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that undoes each orientation
    stored = upright.transpose(Image.Transpose(turn[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, format_, exif=exif)
    pixels = decode(buffer.getvalue())
    assert pixels[:12, :12, 0].mean() > 200
    assert pixels[20:, :, 0].mean() < 50
    assert pixels[:, 20:, 0].mean() < 50


def test_the_centre_is_kept_and_not_squeezed() -> None:
    image = Image.new("RGB", (96, 32))
    image.paste((255, 255, 255), (32, 0, 64, 32))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert (decode(buffer.getvalue()) == 255).all()


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same() -> None:
    image = Image.linear_gradient("L").resize((300, 300)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    small = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decode(buffer.getvalue()).astype(int) - small).max() <= 4


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_picture_is_refused(format_: str) -> None:
    data = picture(size=(300, 200), format_=format_)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(InvalidInput):
            decode(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg/>", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x00\x00\x00\x00WEBP"]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        decode(data)


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(format_: str) -> None:
    with pytest.raises(InvalidInput, match="not a JPEG, PNG or WebP"):
        decode(picture(format_=format_))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    with pytest.raises(TooLarge, match="400 x 300"):
        decode(picture(size=(400, 300)))
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < LIMITS.max_bytes
    with pytest.raises(TooLarge):
        decode(bomb.getvalue())


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(TooLarge, match="at most 1000000"):
        decode(bytes(1_000_001))


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=8), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_damage_never_raises_anything_but_our_errors(position: int, junk: bytes, format_: str) -> None:
    data = bytearray(picture(size=(40, 30), format_=format_))
    position %= len(data)
    data[position : position + len(junk)] = junk
    with contextlib.suppress(SplitwayError):
        assert decode(bytes(data)).shape == (32, 32, 3)


def test_scaling_to_what_a_model_takes() -> None:
    pixels = np.array([[[0, 127, 255]]], np.uint8)
    target = TARGET.model_copy(update={"datatype": "FP32", "range": (-1.0, 1.0)})
    scaled = to_model_input(pixels, target)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[[-1, -0.003921569, 1]]], atol=1e-6)
    assert to_model_input(pixels, TARGET) is pixels


@pytest.mark.parametrize("tag", [0x0100, 0x010F, 0x8769])
@pytest.mark.parametrize("kind", [2, 5, 12], ids=["ascii", "rational", "double"])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_odd_exif_does_not_matter(tag: int, kind: int, format_: str) -> None:
    """One IFD with the orientation and one entry whose type is not what the tag's should be."""
    entries = [(0x0112, 3, 1, 6), (tag, kind, 1, 8)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    exif = b"Exif\x00\x00II*\x00" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)
    assert decode(picture(format_=format_, exif=exif)).shape == (32, 32, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_a_large_picture_is_shrunk_first_and_looks_the_same(mode: str) -> None:
    image = Image.linear_gradient("L").resize((300, 300)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    small = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decode(buffer.getvalue()).astype(int) - small).max() <= 4
