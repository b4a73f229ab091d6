"""Which way up a picture is, whatever else its metadata holds."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image, ImageOps, PngImagePlugin

from splitway.kinds.image.jpeg import Jpeg
from splitway.kinds.image.orientation import orientation
from splitway.kinds.image.png import Png
from tests.security.attack_pictures import chunk

EIGHT = range(1, 9)


def block(*entries: tuple[int, int, int, int], order: str = "<", at: int = 8) -> bytes:
    """EXIF of these entries: tag, type, count and value, a SHORT at the beginning of its field."""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    made = [struct.pack(f"{order}HHIHH", tag, kind, count, value, 0) for tag, kind, count, value in entries]
    return start.ljust(at, b"\0") + struct.pack(f"{order}H", len(made)) + b"".join(made) + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("said", EIGHT)
def test_both_byte_orders_are_read(said: int, order: str) -> None:
    assert orientation(block((0x010F, 2, 4, 7), (0x0112, 3, 1, said), order=order)) == said


@pytest.mark.parametrize("prefixes", range(4))
def test_the_prefix_may_stand_there_any_number_of_times(prefixes: int) -> None:
    assert orientation(b"Exif\0\0" * prefixes + block((0x0112, 3, 1, 6))) == 6


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0" * 100_000,
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"junk" * 10,
        block((0x0112, 2, 1, 6)),
        block((0x0112, 3, 2, 6)),
        block((0x0112, 3, 1, 0)),
        block((0x0112, 3, 1, 9)),
        block((0x0112, 3, 1, 6))[:20],
    ],
    ids=["none", "only a prefix", "only prefixes", "cut", "elsewhere", "junk", "text", "two", "0", "9", "cut entry"],
)
def test_what_says_nothing_is_upright(exif: bytes) -> None:
    assert orientation(exif) == 1


@pytest.mark.parametrize("kind", range(14))
def test_other_tags_may_be_broken(kind: int) -> None:
    """Each says a size and a place that are not there."""
    others = [(tag, kind, 0xFFFFFFF, 0xFFFF) for tag in (0x0100, 0x010F, 0x8769, 0x8825)]
    assert orientation(block(*others[:2], (0x0112, 3, 1, 8), *others[2:])) == 8
    count_is_too_high = bytearray(block((0x0112, 3, 1, 8)))
    count_is_too_high[8:10] = b"\xff\xff"
    assert orientation(bytes(count_is_too_high)) == 8


def test_of_65535_entries_some_are_looked_at() -> None:
    assert orientation(block((0x0112, 3, 1, 6), *[(n, 2, 5_000_000, 1) for n in range(0x0113, 0xFFFF)])) == 6


@pytest.mark.parametrize("xmp", [b'<rdf tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"])
def test_xmp_is_read_where_exif_says_nothing(xmp: bytes) -> None:
    assert orientation(b"", xmp) == orientation(block((0x010F, 2, 1, 1)), xmp) == 6
    assert orientation(block((0x0112, 3, 1, 3)), xmp) == 3


def raw_profile(exif: bytes) -> str:
    return f"\nexif\n{len(exif):8}\n{exif.hex()}\n"


def text(key: str, value: str | bytes, *, packed: bool) -> PngImagePlugin.PngInfo:
    texts = PngImagePlugin.PngInfo()
    texts.add_text(key, value, zip=packed)
    return texts


PNG_FORMS: dict[str, Callable[[bytes], PngImagePlugin.PngInfo]] = {
    "Raw profile": lambda exif: text("Raw profile type exif", raw_profile(exif), packed=False),
    "Raw profile, packed": lambda exif: text("Raw profile type exif", raw_profile(exif), packed=True),
    "text exif": lambda exif: text("exif", exif, packed=False),
}


@pytest.mark.parametrize("form", PNG_FORMS)
@pytest.mark.parametrize("said", EIGHT)
def test_a_pngs_texts_are_read_as_pillow_reads_them(form: str, said: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = said
    data = io.BytesIO()
    Image.new("L", (3, 2)).save(data, "PNG", pnginfo=PNG_FORMS[form](exif.tobytes()))
    with Image.open(data) as image:
        turned = ImageOps.exif_transpose(image).size
    read = Png(data.getvalue()).orientation()
    assert read == said
    assert turned == ((2, 3) if said >= 5 else (3, 2))


def test_a_png_may_say_it_behind_its_pixels_and_in_a_chunk_with_a_wrong_checksum() -> None:
    data = io.BytesIO()
    Image.new("L", (3, 2)).save(data, "PNG")
    whole, end = data.getvalue(), data.getvalue().rindex(b"IEND") - 4
    said = chunk(b"eXIf", block((0x0112, 3, 1, 6)))
    assert Png(whole[:end] + said + whole[end:]).orientation() == 6
    assert Png(whole[:end] + said[:-1] + b"\0" + whole[end:]).orientation() == 6


def test_exif_of_a_jpeg_in_two_segments_is_one_block() -> None:
    data = io.BytesIO()
    Image.new("L", (3, 2)).save(data, "JPEG")
    whole, exif = data.getvalue(), block((0x010F, 2, 1, 1), (0x0112, 3, 1, 6), at=40)

    def segment(part: bytes) -> bytes:
        return b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part

    looked = Jpeg(whole[:2] + segment(exif[:50]) + segment(exif[50:]) + whole[2:])
    assert looked.orientation() == 6
