"""Costs out of headers: sizes as the stages' decoder sees them, whatever the bytes, and at once."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from splitway.errors import InvalidInput, TooLarge
from splitway.gateway.edge.cost import inputs_cost, picture_cost
from splitway.kinds.image.limits import PictureLimits
from splitway.kinds.image.look import look
from splitway.wire.tensor import Buffer, Tensor
from testkit.support import picture
from tests.security.attack_pictures import segments

CAPS, TINY = PictureLimits(), PictureLimits(max_pixels=1)
PNG = b"\x89PNG\r\n\x1a\n"
MANY = 1024 * 1024
PADDED: dict[str, bytes] = {
    "padding": b"\xff\xd8\xff" + b"\xff" * MANY,
    "junk": b"\xff\xd8\xff\xd8" + bytes(MANY),
    "markers": b"\xff\xd8" + b"\xff\xd0" * (MANY // 2),
    "empty segments": b"\xff\xd8" + b"\xff\xfe\x00\x02" * (MANY // 4),
    "empty chunks": PNG + struct.pack(">I4sI", 0, b"teXt", zlib.crc32(b"teXt")) * (MANY // 12),
}
FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + bytes(60_000)}),
    ("JPEG", {"comment": b"c" * 60_000, "icc_profile": bytes(300_000)}),
    ("PNG", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"exif": bytes(100)}),
]


SCAN = b"\xff\xda\x00\x02"


def picture_size(data: Buffer) -> tuple[int, int] | None:
    looked = look(data)
    return None if looked is None or not looked.width or not looked.height else (looked.width, looked.height)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def scanned(kind: int, side: int, bands: list[tuple[int, int]]) -> bytes:
    """A grey JPEG of this kind of frame, with a scan of a few bytes for each band of coefficients."""
    scan = b"".join(segments(0xDA, bytes((1, 1, 0, first, last, 0)), 1) + bytes(8) for first, last in bands)
    tables = segments(0xDB, b"\0" + b"\1" * 64, 1)
    return b"\xff\xd8" + tables + frame(side, side, kind) + scan + b"\xff\xd9"


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def frame(width: int, height: int, kind: int = 0xC0) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">HBHHBBBB", 11, 8, height, width, 1, 1, 0x11, 0)


@pytest.mark.parametrize(("format_", "options"), FORMATS, ids=[f"{f} {','.join(o)}" for f, o in FORMATS])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_size_is_the_decoders(format_: str, options: dict[str, object], mode: str) -> None:
    data = picture(mode, (301, 44), format_, **options)
    assert picture_size(data) == picture_size(memoryview(data)) == (301, 44)


def test_animations_say_the_size_of_the_whole() -> None:
    frames = [Image.new("RGB", (120, 70), colour) for colour in ("red", "blue")]
    for format_ in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, format_, save_all=True, append_images=frames[1:])
        assert picture_size(buffer.getvalue()) == (120, 70)


@pytest.mark.parametrize(
    "lie",
    [
        b"\xff\xd8" + frame(8, 8) + frame(6000, 5000) + SCAN,
        b"\xff\xd8\xff\xff" + frame(6000, 5000)[1:] + frame(8, 8) + SCAN,
        b"\xff\xd8\xff\xd0junk" + frame(6000, 5000) + SCAN,
        PNG + header(8, 8) + header(6000, 5000) + chunk(b"IDAT", b""),
        PNG + chunk(b"teXt", b"x") + header(6000, 5000) + chunk(b"IDAT", b""),
    ],
    ids=["two frames", "padding before it", "junk before it", "two headers", "a late header"],
)
def test_whoever_announces_a_small_picture_and_sends_a_large_one_is_not_believed(lie: bytes) -> None:
    with Image.open(io.BytesIO(lie), formats=("JPEG", "PNG")) as decoded:
        decoders = decoded.size
    assert picture_size(lie) == (6000, 5000)
    assert decoders in {(6000, 5000), (8, 8)}
    with pytest.raises(TooLarge, match="6000 x 5000"):
        picture_cost(lie, CAPS)


@pytest.mark.parametrize("data", PADDED.values(), ids=PADDED.keys())
def test_a_megabyte_of_nothing_is_not_gone_through(data: bytes) -> None:
    """Of ten megabytes, Pillow takes 0.4 to 2.6 s for each, and holds the interpreter's lock; this takes 0.5 ms."""
    with pytest.raises(InvalidInput):
        picture_cost(data, CAPS)


STARTS = [
    b"",
    b"\xff\xd8\xff",
    PNG,
    PNG + header(3, 4),
    b"RIFF\0\0\0\0WEBPVP8X",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"RIFF\0\0\0\0WEBPVP8 ",
]


@given(st.sampled_from(STARTS), st.binary(max_size=300), st.booleans())
def test_no_bytes_raise(start: bytes, rest: bytes, as_view: bool) -> None:
    data = start + rest
    size = picture_size(memoryview(data) if as_view else data)
    assert size is None or all(0 <= side < 1 << 32 for side in size)


@given(st.sampled_from(FORMATS), st.integers(0, 400), st.integers(0, 255), st.integers(1, 400))
def test_no_damage_raises(which: tuple[str, dict[str, object]], at: int, value: int, length: int) -> None:
    data = bytearray(picture("RGB", (30, 20), which[0]))
    data[at % len(data)] = value
    picture_size(bytes(data[:length]))


def test_a_megapixel_costs_one_and_a_row_at_least_one() -> None:
    million = PNG + header(1000, 1000)
    assert [picture_cost(each, CAPS) for each in (million, PNG + header(1000, 1001), b"no picture")] == [1, 2, 1]
    pictures = Tensor.of_bytes("image", [million, PNG + header(5000, 5000), b"x"])
    assert inputs_cost([pictures], CAPS) == 1 + 25 + 1
    assert inputs_cost([Tensor.of_bytes("words", [b"x"] * 7)], TINY) == 7
    assert inputs_cost([Tensor.of_array("pixels", np.zeros((3, 1200, 1000, 3), np.uint8))], TINY) == 6
    assert (
        inputs_cost([Tensor.of_array("a", np.zeros((5, 2), np.float32)), Tensor.of_array("b", np.zeros(5))], TINY) == 5
    )
    assert inputs_cost([], TINY) == 1


def test_pictures_may_not_be_too_much_together() -> None:
    bombs = Tensor.of_bytes("image", [picture(size=(1000, 1000))] * 5)
    with pytest.raises(TooLarge, match="5000000 pixels together; at most 4000000"):
        inputs_cost([bombs], PictureLimits(max_pixels=1_000_000))
    many_small = Tensor.of_bytes("image", [picture(size=(10, 10))] * 64)
    assert inputs_cost([many_small], PictureLimits(max_pixels=1_000_000)) == 64


def test_what_takes_long_to_decode_costs_more_than_its_pixels_or_is_refused() -> None:
    """64 arithmetically coded scans of 25 megapixels are a kilobyte, and take a processor two thirds of a second."""
    plain = scanned(0xC0, 5000, [(0, 63)])
    assert picture_cost(plain, CAPS) == 25
    few = picture_cost(scanned(0xCA, 5000, [(0, 0)] * 64), CAPS)
    assert few > 2 * picture_cost(plain, CAPS)
    with pytest.raises(TooLarge, match=r"up to .* s of CPU; .*SPLITWAY_MAX_PICTURE_SECONDS"):
        picture_cost(scanned(0xCA, 5000, [(0, 0), *[(1, 63)] * 63]), CAPS)
    assert picture_cost(scanned(0xCA, 5000, [(0, 0), *[(1, 63)] * 63]), PictureLimits(max_seconds=100)) > 900


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"progressive": True, "quality": 95}], ids=str)
def test_a_phones_picture_is_never_too_dear(options: dict[str, Any]) -> None:
    data = picture("RGB", (4080, 3060), "JPEG", **options)
    cost = picture_cost(data, CAPS)
    assert 13 <= cost < 40


def test_pictures_may_not_take_too_long_together() -> None:
    dear = scanned(0xCA, 2000, [(0, 0)] * 60)
    once = look(dear)
    assert once is not None
    with pytest.raises(TooLarge, match="s of CPU together; at most"):
        inputs_cost([Tensor.of_bytes("image", [dear] * 5)], PictureLimits(max_seconds=once.seconds))
    assert inputs_cost([Tensor.of_bytes("image", [dear] * 3)], PictureLimits(max_seconds=once.seconds)) > 12
