"""What people's programs write is taken, with room to spare; tests/security has what is not."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from splitway.errors import InvalidInput
from splitway.kinds.image.look import Picture, foreign_kind, look
from splitway.kinds.image.parts import MAX_CHUNKS, MAX_FILLING, MAX_SCANS, MAX_SEGMENTS
from splitway.wire.aside import STEP_BYTES
from tests.security.attack_pictures import (
    animated_png,
    chunk,
    directory,
    jpeg,
    many_scans,
    segments,
    small_png,
)


def whole(data: bytes) -> Picture:
    looked = look(data)
    assert looked is not None
    return looked


def noise(side: int = 600) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8))


def encoded(format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    noise().save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("JPEG", {"quality": 100}),
        ("JPEG", {"progressive": True, "quality": 100}),
        ("JPEG", {"optimize": True, "restart_marker_blocks": 1}),
        ("JPEG", {"icc_profile": bytes(range(256)) * 4000, "comment": b"\xff\xda" * 1000}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + directory([(0x0112, 3, 1, 6)], 60_000)}),
        ("PNG", {"compress_level": 0}),
        ("PNG", {"icc_profile": bytes(2000)}),
        ("WEBP", {"lossless": True}),
    ],
    ids=str,
)
def test_what_encoders_write_is_taken(format_: str, options: dict[str, Any]) -> None:
    assert whole(encoded(format_, **options)).damage is None


def test_texts_and_animations_are_taken() -> None:
    texts = PngImagePlugin.PngInfo()
    for number in range(200):
        texts.add_text(f"key {number}", "words " * 1000, zip=True)
    assert whole(encoded("PNG", pnginfo=texts)).damage is None
    assert whole(animated_png(1000)).damage is None


def test_scans_are_counted_in_the_picture_and_not_within_a_segment() -> None:
    """A thumbnail, or any other bytes, may hold what looks like one."""
    look(jpeg(progressive=True, before=segments(0xE5, b"\xff\xda" * 1000, 5)))
    look(many_scans(64, MAX_SCANS - 6))
    with pytest.raises(InvalidInput, match=f"more than {MAX_SCANS} scans"):
        look(many_scans(64, MAX_SCANS + 1))


def test_what_hides_the_end_does_not_end_the_count() -> None:
    """Between scans there may be segments too, with what looks like the picture's end in them."""
    whole = many_scans(64, MAX_SCANS + 1)
    at = whole.find(b"\xff\xda")
    hidden = whole[:at] + segments(0xFE, b"\xff\xd9", 1) + whole[at:]
    with pytest.raises(InvalidInput, match="scans"):
        look(hidden)


def between_scans(content: bytes) -> bytes:
    """A progressive JPEG with this behind its first scans. Much in it looks like scans, so they are counted exactly."""
    whole = many_scans(64, 1)
    at = whole.rfind(b"\xff\xda")
    return whole[:at] + segments(0xFE, b"\xff\xda" * (MAX_SCANS + 1), 1) + content + whole[at:]


def test_what_stands_between_scans_is_bounded_too() -> None:
    look(between_scans(segments(0xFE, b"", MAX_SEGMENTS // 2)))
    with pytest.raises(InvalidInput, match=f"more than {MAX_SEGMENTS} segments"):
        look(between_scans(segments(0xFE, b"", MAX_SEGMENTS)))


def test_scans_are_found_across_the_steps_of_a_search() -> None:
    for filling in range(STEP_BYTES - 700, STEP_BYTES - 690):
        with pytest.raises(InvalidInput, match="scans"):
            look(jpeg(progressive=True)[:-2] + bytes(filling) + b"\xff\xda\0\2" * MAX_SCANS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (jpeg(before=segments(0xE5, b"", MAX_SEGMENTS)), "segments"),
        (jpeg(before=b"\xff" * (MAX_FILLING + 1)), "filling"),
        (small_png(chunk(b"abCd") * MAX_SEGMENTS), "chunks beside its pixels"),
        (small_png(after=chunk(b"IDAT") * MAX_CHUNKS), f"{MAX_CHUNKS} chunks, "),
    ],
    ids=["segments", "filling", "chunks", "data"],
)
def test_one_more_than_the_limit_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        look(data)


def test_what_is_cut_short_is_left_to_the_decoder() -> None:
    for data in (encoded("JPEG"), encoded("JPEG", progressive=True), encoded("PNG"), encoded("WEBP")):
        for length in (0, 1, 2, 3, 8, 12, 20, 100, len(data) // 2):
            look(data[:length])


@pytest.mark.parametrize(
    "start",
    [
        b"<svg/>",
        b'\xef\xbb\xbf <?xml version="1.0"?>\n<!-- made by hand -->\n<!DOCTYPE svg PUBLIC "x">\n<svg xmlns="">',
        b"<!-- first -->\n<?xml-stylesheet?><!-- second --><svg>",
    ],
)
def test_svg_is_named_whatever_stands_before_its_element(start: bytes) -> None:
    assert foreign_kind(start) == "SVG: convert it to JPEG, PNG or WebP"


@pytest.mark.parametrize(
    "start",
    [
        b"<?xml" + b"<!--" * 128 + b"<!doctype svg" * 40 + b"<" * 600,
        b"<?xml" + b"<!--<!doctype svg" * 120,
        b" " * 64 + b"<?xml" + b" " * 2000,
        b"--" + b"!" * 2000,
        b"    ftyp" + b"avi" * 1000,
    ],
)
def test_no_two_kilobytes_take_long(start: bytes) -> None:
    """The first held an event loop for 0.1 s."""
    began_s = time.thread_time()
    foreign_kind(start)
    assert time.thread_time() - began_s < 0.02
