"""Pictures made by hand that cost far more to read than to send."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterable

from PIL import Image

_PNG = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, colours: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced))


def zeros(count: int) -> bytes:
    """So many bytes of nothing, deflated without ever being in memory."""
    deflate = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [deflate.compress(block[: min(1 << 20, count - at)]) for at in range(0, count, 1 << 20)]
    return b"".join(parts) + deflate.flush()


def png(width: int, height: int, depth: int = 1, colours: int = 0, before: bytes = b"", after: bytes = b"") -> bytes:
    """A whole black PNG of this size, in a few hundred kilobytes at most."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    line = 1 + (width * depth * channels + 7) // 8
    return (
        _PNG
        + header(width, height, depth, colours)
        + before
        + chunk(b"IDAT", zeros(line * height))
        + after
        + chunk(b"IEND")
    )


def small_png(before: bytes = b"", after: bytes = b"") -> bytes:
    return png(64, 64, before=before, after=after)


def many_texts(count: int, text: bytes) -> bytes:
    """Compressed texts of a megabyte each."""
    return b"".join(chunk(b"zTXt", b"k%d\0\0" % n + zlib.compress(text, 9)) for n in range(count))


def many_profiles(count: int) -> bytes:
    """Colour profiles of a megabyte each."""
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(1 << 20), 9)) * count


def broken_texts(count: int) -> bytes:
    """Compressed texts that are unpacked and found to be damaged at their end, so that nothing of them is counted."""
    packed = zlib.compress(bytes(1_000_000), 9)[:-4] + b"xxxx"
    return b"".join(chunk(b"zTXt", b"k\0\0" + packed) for _ in range(count))


def wide_text(count: int) -> bytes:
    """Texts whose one odd character makes four bytes of each."""
    text = b"a" * 1_000_000 + "\N{OLD ITALIC LETTER A}".encode()
    packed = zlib.compress(text, 9)
    return b"".join(chunk(b"iTXt", b"k%d\0\1\0\0\0" % n + packed) for n in range(count))


def animated_png(frames: int) -> bytes:
    def frame(number: int) -> bytes:
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 64, 64, 0, 0, 1, 10, 0, 0))

    data = zeros(9 * 64)
    more = b"".join(frame(2 * n - 1) + chunk(b"fdAT", struct.pack(">I", 2 * n) + data) for n in range(1, frames))
    return small_png(chunk(b"acTL", struct.pack(">II", frames, 0)) + frame(0), more)


def jpeg(size: tuple[int, int] = (64, 64), before: bytes = b"", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, "JPEG", **options)
    whole = buffer.getvalue()
    return whole[:2] + before + whole[2:]


def resized(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG, whose frame header says another size."""
    at = next(data.find(bytes((0xFF, kind))) for kind in (0xC0, 0xC2) if bytes((0xFF, kind)) in data)
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG with scans of which each goes over the whole picture and says nothing: a few bytes each."""
    whole = jpeg((side, side), progressive=True)
    end = whole.rfind(b"\xff\xd9")
    blocks = ((side + 7) // 8) ** 2
    # One Huffman table of two symbols: a run of 2^14 blocks without coefficients, and a single block.
    table = b"\xff\xc4" + struct.pack(">HB", 2 + 1 + 16 + 2, 0x10) + bytes((0, 2)) + bytes(14) + bytes((0xE0, 0x00))
    bits = ""
    left = blocks
    while left > 0:
        run = min(left, (1 << 15) - 1)
        bits += ("00" + f"{run - (1 << 14):014b}") if run >= 1 << 14 else "01"
        left -= run if run >= 1 << 14 else 1
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    scan = b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes((1, 0x00)) + bytes((1, 63, 0x00)) + coded
    return whole[:end] + table + scan * scans + whole[end:]


def segments(marker: int, content: bytes, count: int) -> bytes:
    return (bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content) * count


def directory(entries: Iterable[tuple[int, int, int, int]], size: int = 0) -> bytes:
    """A TIFF directory, as EXIF holds it: tag, type, count and offset of each entry."""
    made = [struct.pack("<HHII", *entry) for entry in entries]
    return (b"II*\0" + struct.pack("<IH", 8, len(made)) + b"".join(made) + bytes(4)).ljust(size, b"\0")


def webp(size: tuple[int, int] = (64, 64), frames: int = 1) -> bytes:
    buffer = io.BytesIO()
    first = Image.new("RGB", size)
    others = [Image.new("RGB", size, (n % 256, n // 256, 9)) for n in range(1, frames)]
    first.save(
        buffer, "WEBP", lossless=True, method=0, **({"save_all": True, "append_images": others} if others else {})
    )
    return buffer.getvalue()


def webp_canvas(width: int, height: int) -> bytes:
    """An extended WebP whose canvas is of this size, and whose one frame is small."""
    inner = webp()[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = bytes(6) + (63).to_bytes(3, "little") * 2 + bytes(4) + inner
    chunks = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes((0x02, 0, 0, 0))
        + size
        + b"ANIM"
        + struct.pack("<I", 6)
        + bytes(6)
        + b"ANMF"
        + struct.pack("<I", len(frame))
        + frame
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


IFD = 65_000
ATTACKS: dict[str, Callable[[], bytes]] = {
    "png 50,000 x 50,000": lambda: png(50_000, 50_000),
    "png 13,000 x 13,000": lambda: png(13_000, 13_000),
    "png 1 x 25,000,000": lambda: png(1, 25_000_000, 8),
    "png 25,000,000 x 1": lambda: png(25_000_000, 1, 8),
    "png 2^31-1 x 2^31-1": lambda: _PNG + header(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", zeros(100)) + chunk(b"IEND"),
    "png whose data is 1,000 times its size": lambda: (
        _PNG + header(64, 64) + chunk(b"IDAT", zeros(500_000_000)) + chunk(b"IEND")
    ),
    "png with 64 texts of 1 MB": lambda: small_png(many_texts(64, bytes(1_000_000))),
    "png with 1,000 damaged texts of 1 MB": lambda: small_png(broken_texts(1000)),
    "png with 60 texts of wide characters": lambda: small_png(wide_text(60)),
    "png with 1,000 profiles of 1 MB": lambda: small_png(many_profiles(1000)),
    "png with 1,000 profiles after the data": lambda: small_png(after=many_profiles(1000)),
    "png with 80,000 chunks": lambda: small_png(chunk(b"tIME", bytes(7)) * 80_000),
    "png with 80,000 chunks nobody knows": lambda: small_png(chunk(b"abCd") * 80_000),
    "png with 80,000 empty data chunks": lambda: _PNG + header(64, 64) + chunk(b"IDAT") * 80_000 + chunk(b"IEND"),
    "png with 3,000 frames": lambda: animated_png(3000),
    "png with a directory of 65,000": lambda: small_png(
        chunk(b"eXIf", directory((n + 1, 1, 4, 0) for n in range(IFD)))
    ),
    "jpeg 65,535 x 65,535": lambda: resized(jpeg(), 65_535, 65_535),
    "jpeg with 2,000 scans": lambda: many_scans(2000, 2000),
    "jpeg with 300,000 segments": lambda: jpeg(before=segments(0xE5, b"", 300_000)),
    "jpeg with 300,000 comments": lambda: jpeg(before=segments(0xFE, b"", 300_000)),
    "jpeg with 2 MB of filling": lambda: jpeg(before=b"\xff" * 2_000_000),
    "jpeg with 2 MB of junk": lambda: jpeg(before=segments(0xE5, b"x", 1) + b"\x01" * 2_000_000),
    "jpeg with 30,000 tables": lambda: jpeg(before=segments(0xDB, (b"\0" + b"\1" * 64) * 1000, 30)),
    "jpeg with 60 frame headers": lambda: jpeg(
        before=segments(0xC0, struct.pack(">BHHB", 8, 64, 64, 1) + bytes(3) * 21_000, 30)
    ),
    "jpeg with 300,000 resource blocks": lambda: jpeg(
        before=segments(0xED, b"Photoshop 3.0\0" + (b"8BIM\0\0\0\0" + bytes(4)) * 5_000, 40)
    ),
    "jpeg with a directory of 65,000": lambda: jpeg(
        before=b"".join(
            segments(0xE1, b"Exif\0\0" + part, 1)
            for whole in [directory((n + 1, 1, 4, 0) for n in range(IFD))]
            for part in [whole[at : at + 65_000] for at in range(0, len(whole), 65_000)]
        )
    ),
    "jpeg with an index of 5,400 pictures": lambda: jpeg(
        before=segments(0xE2, b"MPF\0" + directory(((n + 1, 7, 4, 0) for n in range(5_000)), 64_000), 1)
    ),
    "webp 16,383 x 16,383": lambda: webp_canvas(16_383, 16_383),
    "webp 10,000 x 10,000": lambda: webp_canvas(10_000, 10_000),
    "webp 16,777,216 x 200": lambda: webp_canvas(16_777_216, 200),
    "webp with 3,000 frames": lambda: webp(frames=3000),
    "webp with a directory of 65,000": lambda: _with_exif(directory((n + 1, 1, 4, 0) for n in range(IFD))),
}


def _with_exif(content: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "WEBP", exif=b"Exif\0\0" + content)
    return buffer.getvalue()


def webp_of_many_codes(side: int, tile_bits: int = 2) -> bytes:
    """A lossless WebP with a set of prefix codes of its own for each tile, up to 65,536, and no bit for any pixel."""
    tiles = (-(-side // (1 << tile_bits))) ** 2
    one_symbol = "1000"
    # Codes of 256 symbols of eight bits: the lengths 0 and 8 are written in a code of one bit each.
    lengths = "0" + f"{8:04b}"[::-1] + "".join("100" if place in (2, 11) else "000" for place in range(12)) + "0"
    eight_bits = lengths + "1" * 256
    bits = [f"{0x2F:08b}"[::-1], f"{side - 1:014b}"[::-1] * 2, "1000", "00", "1", f"{tile_bits - 2:03b}"[::-1], "0"]
    bits += [eight_bits, "0" * 24, eight_bits, one_symbol * 3]
    bits += [f"{tile & 255:08b}{tile >> 8 & 255:08b}" for tile in range(tiles)]
    bits += [one_symbol * 5 * min(tiles, 1 << 16)]
    written = "".join(bits)
    stream = int(written[::-1], 2).to_bytes(len(written) // 8 + 2, "little")
    stream += bytes(len(stream) % 2)
    chunk_ = b"VP8L" + struct.pack("<I", len(stream)) + stream
    return b"RIFF" + struct.pack("<I", 4 + len(chunk_)) + b"WEBP" + chunk_
