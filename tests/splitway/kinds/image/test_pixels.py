"""Every form of a picture gives the same pixels, and nothing beside the pixels matters."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from splitway.errors import InvalidInput
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.manifest import Preprocessing
from tests.security.attack_pictures import chunk, header, segments

TARGET = Preprocessing(height=32, width=32, crop=1.0, resample="bicubic", range=(0.0, 255.0), datatype="UINT8")
KEY = (255, 0, 254)
SMALL, LARGE = (40, 33), (700, 500)
Pixels = NDArray[np.uint8]


def decode(data: bytes) -> Pixels:
    return PictureDecoder(TARGET, PictureLimits())(data)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int], seed: int = 1) -> Pixels:
    width, height = size
    return np.random.default_rng(seed).integers(0, 250, (height, width, 3), dtype=np.uint8)


def key_at(size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.random.default_rng(2).random((size[1], size[0])) < 0.3


def png(
    size: tuple[int, int], depth: int, colours: int, samples: NDArray[Any], *before: bytes, adam7: bool = False
) -> bytes:
    """A PNG of these samples [height, width, channels], interlaced or not."""

    def rows(part: NDArray[Any]) -> bytes:
        return b"".join(b"\0" + _packed(row, depth) for row in part) if part.size else b""

    if adam7:
        starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        raw = b"".join(rows(samples[y::down, x::right]) for x, y, right, down in starts)
    else:
        raw = rows(samples)
    head = header(*size, depth, colours, int(adam7))
    parts = (head, *before, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _packed(row: NDArray[Any], depth: int) -> bytes:
    if depth == 16:
        return row.astype(">u2").tobytes()
    if depth == 8:
        return row.astype(np.uint8).tobytes()
    bits = np.unpackbits(row.astype(np.uint8).reshape(-1, 1), axis=1)[:, -depth:]
    return np.packbits(bits.reshape(-1)).tobytes()


@pytest.mark.parametrize("adam7", [False, True], ids=["plain", "interlaced"])
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_key_is_the_same_as_alpha(depth: int, size: tuple[int, int], *, adam7: bool) -> None:
    """Compared as deep as the samples are: a colour that is equal in its upper bytes only is shown."""
    is_key, scale = key_at(size), 257 if depth == 16 else 1
    colours = noise(size)
    colours[is_key] = KEY
    deep = colours.astype(np.uint32) * scale
    if depth == 16:
        nearly = np.random.default_rng(3).random(is_key.shape) < 0.2
        deep[nearly & is_key] += np.array([0, 0, 1], np.uint32)
        is_key &= ~nearly
    key = chunk(b"tRNS", struct.pack(">HHH", *[each * scale for each in KEY]))
    alpha = np.where(is_key, 0, 255)[..., None]
    right = encoded(
        Image.fromarray(np.concatenate([(deep // (256 if depth == 16 else 1)), alpha], 2).astype(np.uint8)), "PNG"
    )
    assert np.array_equal(decode(png(size, depth, 2, deep, key, adam7=adam7)), decode(right))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("depth", [2, 4, 8, 16])
def test_a_grey_key_is_the_same_as_alpha(depth: int, size: tuple[int, int]) -> None:
    is_key, most = key_at(size), (1 << depth) - 1
    samples = np.random.default_rng(4).integers(0, most + 1, is_key.shape, dtype=np.uint32)
    key_value = most // 3
    samples[(samples == key_value) & ~is_key] += 1
    samples[is_key] = key_value
    eight = (samples >> 8) if depth == 16 else samples * (255 // most)
    right = np.stack([eight, np.where(is_key, 0, 255)], 2).astype(np.uint8)
    key = chunk(b"tRNS", struct.pack(">H", key_value))
    assert np.array_equal(decode(png(size, depth, 0, samples[..., None], key)), decode(png(size, 8, 4, right)))


@pytest.mark.parametrize("key", [0, 1])
def test_one_bit_has_a_key_too(key: int) -> None:
    samples = key_at(SMALL).astype(np.uint8)
    grey = np.where(samples == key, 255, samples * 255).astype(np.uint8)
    right = encoded(Image.fromarray(grey), "PNG")
    keyed = png(SMALL, 1, 0, samples[..., None], chunk(b"tRNS", struct.pack(">H", key)))
    assert np.array_equal(decode(keyed), decode(right))


@pytest.mark.parametrize(
    "key", [b"", b"\0", bytes(8), struct.pack(">HHH", 0x1FF, 0, 0x1FE)], ids=["none", "cut", "long", "with upper bits"]
)
def test_a_key_that_is_none_is_ignored_and_upper_bits_do_not_count(key: bytes) -> None:
    colours = noise(SMALL)
    colours[key_at(SMALL)] = KEY
    plain, keyed = decode(png(SMALL, 8, 2, colours)), decode(png(SMALL, 8, 2, colours, chunk(b"tRNS", key)))
    assert np.array_equal(plain, keyed) == (len(key) != 6)


BESIDE = {
    "a profile of 2 MB": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2_000_000))),
    "an empty profile": chunk(b"iCCP"),
    "a packed text of 9 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(9_000_000))),
    "a text in an unknown packing": chunk(b"zTXt", b"Comment\0\x09abc"),
    "a wrong checksum": chunk(b"tEXt", b"a\0b")[:-1] + b"\0",
    "gAMA": chunk(b"gAMA", b"x"),
    "cHRM": chunk(b"cHRM"),
    "sRGB": chunk(b"sRGB"),
    "pHYs": chunk(b"pHYs", b"x"),
    "acTL": chunk(b"acTL", b"x"),
    "two acTL": chunk(b"acTL", bytes(8)) * 2,
    "fcTL out of order": chunk(b"fcTL", struct.pack(">IIIIIHHBB", 7, 1, 1, 0, 0, 1, 10, 0, 0)),
    "a suggested palette": chunk(b"PLTE", bytes(7)),
    "eXIf": chunk(b"eXIf", b"x"),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_a_pngs_pixels_does_not_matter(name: str) -> None:
    plain = encoded(Image.fromarray(noise(SMALL)), "PNG")
    right = decode(plain)
    before, behind = plain.index(b"IDAT") - 4, plain.rindex(b"IEND") - 4
    assert np.array_equal(decode(plain[:before] + BESIDE[name] + plain[before:]), right)
    if name != "a suggested palette":
        assert np.array_equal(decode(plain[:behind] + BESIDE[name] + plain[behind:]), right)


SEGMENTS = {
    "APP14 cut short": segments(0xEE, b"Adobe", 1),
    "JFIF cut short": segments(0xE0, b"JFIF", 1),
    "JFXX": segments(0xE0, b"JFXX\0\x10" + bytes(9), 1),
    "a profile cut short": segments(0xE2, b"ICC_PROFILE\0", 1),
    "a profile of 2 MB": segments(0xE2, b"ICC_PROFILE\0\1\1" + bytes(65_000), 32),
    "resources of 2 MB": segments(0xED, b"Photoshop 3.0\0" + bytes(65_000), 32),
    "EXIF of 2 MB": segments(0xE1, b"Exif\0\0" + bytes(65_000), 32),
    "an index that is none": segments(0xE2, b"MPF\0junk", 1),
    "XMP that is none": segments(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff", 1),
    "a comment": segments(0xFE, b"\xff\xd9\xff\xda", 3),
}


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_what_stands_beside_a_jpegs_pixels_does_not_matter(name: str, mode: str) -> None:
    plain = encoded(Image.fromarray(noise(SMALL)).convert(mode), "JPEG", quality=90)
    right = decode(plain)
    assert np.array_equal(decode(plain[:2] + SEGMENTS[name] + plain[2:]), right)


@pytest.mark.parametrize("transform", [0, 1])
def test_a_whole_adobe_segment_names_the_colours(transform: int) -> None:
    """Three channels are RGB with it, or YCbCr: it reaches the decoder, as JFIF does."""
    plain = encoded(Image.new("RGB", SMALL, (200, 30, 60)), "JPEG", keep_rgb=not transform)
    adobe = segments(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform), 1)
    start = plain.index(b"\xff\xdb")
    assert np.abs(decode(plain[:2] + adobe + plain[start:]).astype(int) - (200, 30, 60)).max() < 6


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_wrong_checksum_of_what_the_pixels_need_is_an_error(kind: bytes) -> None:
    plain = bytearray(encoded(Image.fromarray(noise(SMALL)).quantize(16), "PNG"))
    at = plain.index(kind)
    length = int.from_bytes(plain[at - 4 : at], "big")
    plain[at + 4 + length] ^= 1
    with pytest.raises(InvalidInput, match=kind.decode()):
        decode(bytes(plain))


@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_critical_chunk_that_is_not_known_is_an_error(where: str) -> None:
    plain = encoded(Image.fromarray(noise(SMALL)), "PNG")
    at = plain.index(b"IDAT") - 4 if where == "before" else plain.rindex(b"IEND") - 4
    with pytest.raises(InvalidInput, match="CgBI"):
        decode(plain[:at] + chunk(b"CgBI", b"x") + plain[at:])


FORMS = [
    (1, 0, 1),
    (2, 0, 1),
    (8, 0, 1),
    (16, 0, 1),
    (1, 3, 1),
    (4, 3, 1),
    (8, 3, 1),
    (8, 2, 3),
    (16, 2, 3),
    (8, 4, 2),
    (8, 6, 4),
    (16, 6, 4),
]


@pytest.mark.parametrize("adam7", [False, True], ids=["plain", "interlaced"])
@pytest.mark.parametrize(("depth", "colours", "channels"), FORMS)
@pytest.mark.parametrize("black", [False, True], ids=["noise", "black"])
def test_a_png_whose_pixels_end_early_is_refused(
    depth: int, colours: int, channels: int, *, adam7: bool, black: bool
) -> None:
    """Its deflated stream is whole, but holds a row less than the header says, or one byte of it."""
    width, height = SMALL
    most = 1 if black else 1 << depth
    samples = np.random.default_rng(5).integers(0, most, (height, width, channels), dtype=np.uint32)
    palette = [chunk(b"PLTE", bytes(range(256)) * 3)] if colours == 3 else []
    whole = png(SMALL, depth, colours, samples, *palette, adam7=adam7)
    decode(whole)
    start, end = whole.index(b"IDAT"), whole.rindex(b"IEND") - 4
    raw = zlib.decompress(whole[start + 4 : end - 4])
    row = 1 + (width * depth * channels + 7) // 8
    for missing in (1, 8, row, 5 * row, len(raw) // 2, len(raw)):
        cut = whole[: start - 4] + chunk(b"IDAT", zlib.compress(raw[:-missing])) + whole[end:]
        with pytest.raises(InvalidInput):
            decode(cut)
    more = whole[: start - 4] + chunk(b"IDAT", zlib.compress(raw + bytes(1000)) + b"junk") + whole[end:]
    assert np.array_equal(decode(more), decode(whole))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100}], ids=str)
def test_a_jpeg_is_refused_wherever_it_is_cut(options: dict[str, Any]) -> None:
    """Also behind its last row: without the end marker nothing tells that it was the last."""
    whole = encoded(Image.fromarray(noise((48, 40))), "JPEG", **options)
    assert decode(whole + b"trailing bytes").shape == (32, 32, 3)
    for end in range(len(whole)):
        with pytest.raises(InvalidInput):
            decode(whole[:end])


def test_a_png_may_lack_its_last_chunk_and_nothing_else() -> None:
    whole = encoded(Image.fromarray(noise(SMALL)), "PNG")
    pixels_end = whole.rindex(b"IEND") - 4
    for end in range(len(whole)):
        if end >= pixels_end:
            assert np.array_equal(decode(whole[:end]), decode(whole))
        else:
            with pytest.raises(InvalidInput):
                decode(whole[:end])


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_pillow_turns_it(format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(noise((50, 33)))
    options = {"lossless": True} if format_ == "WEBP" else {"quality": 100}
    turned = encoded(image, format_, exif=exif, **options)
    with Image.open(io.BytesIO(turned)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    assert np.array_equal(decode(turned), decode(encoded(upright, "PNG")))


def test_pillow_says_nothing_of_a_picture(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    entries = [struct.pack("<HHII", tag, 2, 5_000_000, 1) for tag in range(65_535)]
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 65_535) + b"".join(entries) + bytes(4)
    plain = encoded(Image.fromarray(noise(SMALL)), "PNG")
    at = plain.index(b"IDAT") - 4
    decode(plain[:at] + chunk(b"eXIf", exif) + chunk(b"acTL", bytes(8)) * 2 + plain[at:])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_jpeg_without_loss_is_decoded_whole() -> None:
    """The decoder cannot leave out detail of it; it was refused as damaged wherever detail was to be left out."""
    table, frame = (
        segments(0xC4, bytes((0, 1)) + bytes(16), 1),
        struct.pack(">BHHB", 8, 1000, 1000, 1) + b"\x01\x11\x00",
    )
    scan = segments(0xC3, frame, 1) + table + segments(0xDA, b"\x01\x01\x00\x01\x00\x00", 1)
    data = b"\xff\xd8" + scan + bytes(1000 * 1000 // 8) + b"\xff\xd9"
    assert (decode(data) == 128).all()
