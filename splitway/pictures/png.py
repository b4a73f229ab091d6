"""What a PNG's chunks say, and which of them its decoder needs.

Only the header, the palette, a palette's transparency and the pixels reach the decoder; a colour key is applied to what
it decodes, for decoders compare it with samples that they have scaled already. What stands beside the pixels is never
unpacked but to find an orientation, and may be damaged. As in libpng a wrong checksum of what the pixels need is an
error, as is a critical chunk that is not known.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from splitway.errors import InvalidInput
from splitway.pictures.orientation import exif_in_text, orientation, unpacked
from splitway.pictures.parts import MAX_DATA_CHUNKS, MAX_SEGMENTS, SLACK_BYTES, Target, join, reduction, refuse
from splitway.wire.tensor import Buffer

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
_CHUNK, _HEADER = struct.Struct(">I4s"), struct.Struct(">IIBBBBB")
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_FRAMES = (b"fcTL", b"fdAT")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_EXIF_TEXTS, _XMP_TEXT = (b"exif", b"Raw profile type exif"), b"XML:com.adobe.xmp"
_LONGEST_KEY = 79
_RAW_BYTE_S, _BYTE_S, _PASSES = 3e-9, 9e-9, 1.5
_CONVERTED_PIXEL_S, _KEYED_PIXEL_S = 12e-9, 25e-9
_PASS_STARTS = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each of Adam7's passes: first column and row, and the steps to the next."""
_INFLATED_AT_ONCE = 1 << 16


class Header(NamedTuple):
    """What IHDR says."""

    width: int
    height: int
    depth: int
    colours: int
    compression: int
    filters: int
    interlaced: int

    @property
    def damage(self) -> str | None:
        known = self.depth in _DEPTHS.get(self.colours, ())
        if not (
            known and self.compression == self.filters == 0 and self.interlaced <= 1 and self.width and self.height
        ):
            return "its header says what no PNG may"
        return None

    @property
    def bits(self) -> int:
        """Bits of one pixel."""
        return self.depth * _CHANNELS.get(self.colours, 4)

    @property
    def raw_bytes(self) -> int:
        """How many bytes all rows unpack to, each with its filter."""
        passes = _PASS_STARTS if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for x, y, right, down in passes:
            columns, rows = max(0, -(-(self.width - x) // right)), max(0, -(-(self.height - y) // down))
            total += rows * (1 + (columns * self.bits + 7) // 8) if columns else 0
        return total


class Texts(NamedTuple):
    """Where metadata stands that may tell an orientation: chunks' first and last byte, or None."""

    exif: tuple[int, int] | None = None
    exif_text: tuple[int, int] | None = None
    xmp: tuple[int, int] | None = None


class Png(NamedTuple):
    """A PNG, or the first picture of an animated one."""

    data: Buffer
    width: int
    height: int
    damage: str | None
    header: Header
    needed: list[tuple[int, int]]
    """Chunks that the decoder needs, in order."""
    key: tuple[int, ...] | None
    """The samples of the transparent colour, as deep as the picture's are; one if it is grey, else three."""
    texts: Texts
    name: str = "PNG"

    @property
    def seconds(self) -> float:
        """Seconds of a processor that decoding takes, at most."""
        header, deep_key = self.header, self._has_deep_key
        times = (_PASSES if header.interlaced else 1) * (2 if deep_key else 1)
        is_plain = self.key is None and (
            header.colours == RGB or (header.colours == GREY and header.depth in (2, 4, 8))
        )
        convert_s = 0.0 if is_plain else _KEYED_PIXEL_S if self.key is not None else _CONVERTED_PIXEL_S
        raw_s = header.raw_bytes * _RAW_BYTE_S + len(self.data) * _BYTE_S
        return raw_s * times + self.width * self.height * convert_s

    def memory_bytes(self, target: Target) -> int:
        """Bytes of memory that decoding takes, at most."""
        header, pixels = self.header, self.width * self.height
        decoded = 8 if self._has_deep_key else self._bytes_a_pixel
        is_grey = header.colours == GREY
        shrinks = header.colours != PALETTE and (header.depth in (2, 4, 8) or not is_grey or self.key is not None)
        shrinks = shrinks and (is_grey, header.depth) != (True, 1)
        factor = max(1, reduction(self.width, self.height, target)) if shrinks else 1
        made = -(-self.width // factor) * -(-self.height // factor) * 4
        return len(self.data) + SLACK_BYTES + max(pixels * decoded + made, 2 * made)

    @property
    def _has_deep_key(self) -> bool:
        """Whether it is decoded twice, once for each byte of its samples."""
        return self.key is not None and self.header.depth == 16 and self.header.colours == RGB

    @property
    def _bytes_a_pixel(self) -> int:
        """Bytes of a decoded pixel."""
        if self.header.colours in (GREY, PALETTE):
            return 2 if self.header.depth == 16 else 1
        return 4

    def orientation(self) -> int:
        data, texts = self.data, self.texts
        exif: Buffer = b"" if texts.exif is None else data[slice(*texts.exif)]
        if not exif and texts.exif_text is not None:
            exif = exif_in_text(_text(data, *texts.exif_text))
        return orientation(exif, b"" if texts.xmp is None else _text(data, *texts.xmp))

    def for_decoder(self) -> bytes:
        """The file without what says nothing of the pixels.

        Raises:
            InvalidInput: a checksum is wrong.
        """
        view = memoryview(self.data)
        for start, end in self.needed:
            if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
                kind = bytes(view[start + 4 : start + 8]).decode("ascii")
                raise InvalidInput(f"the picture is damaged: the checksum of its chunk {kind} is wrong")
        ranges = _joined([(0, len(SIGNATURE)), *self.needed])
        if ranges == [(0, len(view) - len(_END))] and view[-len(_END) :] == _END:
            ranges = [(0, len(view))]
            return join(self.data, ranges)
        return join(self.data, ranges) + _END

    def holds_every_row(self) -> bool:
        """Whether the pixels unpack to as many bytes as the header says. Unpacks them."""
        view, left = memoryview(self.data), self.header.raw_bytes
        inflate = zlib.decompressobj()
        for start, end in self.needed:
            if bytes(view[start + 4 : start + 8]) != b"IDAT":
                continue
            packed: Buffer = view[start + 8 : end - 4]
            while left > 0 and not inflate.eof:
                unpacked_now = len(inflate.decompress(packed, _INFLATED_AT_ONCE))
                left, packed = left - unpacked_now, inflate.unconsumed_tail
                if unpacked_now < _INFLATED_AT_ONCE and not packed:
                    break
        return left <= 0


def look_at_png(data: Buffer) -> Png:
    """Read a PNG's chunks. Raises InvalidInput for more of them than pictures have."""
    return _Reader(data).read()


class _Reader:
    def __init__(self, data: Buffer) -> None:
        self._data = data
        self._headers: list[Header] = []
        self._palette: tuple[int, int] | None = None
        self._transparency: tuple[int, int] | None = None
        self._pixels: list[tuple[int, int]] = []
        self._pixels_ended = False
        self._texts = Texts()
        self._damage: str | None = None

    def read(self) -> Png:
        pixels = others = 0
        for kind, start, end in self._chunks():
            if kind == b"IDAT" or kind in _FRAMES:
                pixels += 1
            else:
                others += 1
            if pixels > MAX_DATA_CHUNKS:
                raise refuse("chunks of pixels", MAX_DATA_CHUNKS)
            if others > MAX_SEGMENTS:
                raise refuse("chunks", MAX_SEGMENTS)
            if kind == b"IDAT":
                if not self._pixels_ended:
                    self._pixels.append((start, end))
            else:
                self._pixels_ended = bool(self._pixels)
                self._other(kind, start, end)
        return self._whole()

    def _chunks(self) -> Iterator[tuple[bytes, int, int]]:
        """Kind, first byte and end of each chunk up to the last. What lies behind whole pixels may be anything."""
        data, at = self._data, len(SIGNATURE)
        while at + 12 <= len(data):
            length, kind = _CHUNK.unpack_from(data, at)
            end = at + 12 + length
            if not kind.isalpha() or end > len(data):
                break
            if kind == b"IEND":
                return
            yield kind, at, end
            at = end
        if not self._pixels or data[at + 4 : at + 8] == b"IDAT":
            self._damage = self._damage or "it is cut short"

    def _other(self, kind: bytes, start: int, end: int) -> None:
        if kind in _TEXTS or kind == b"eXIf":
            self._text(kind, start, end)
        elif kind == b"IHDR":
            self._header(start, end)
        elif kind == b"PLTE":
            if self._palette is not None or self._pixels:
                self._damage = "its palette is out of place"
            self._palette = (start, end)
        elif kind == b"tRNS":
            if self._transparency is None and not self._pixels:
                self._transparency = (start, end)
        elif kind[:1].isupper():
            self._damage = f"it needs a chunk {kind.decode('ascii')} that no decoder here knows"

    def _header(self, start: int, end: int) -> None:
        if end - start != 12 + _HEADER.size:
            self._damage = "its header has another length than a header has"
        if end - start < 12 + _HEADER.size:
            return
        if start != len(SIGNATURE):
            self._damage = "its header is out of place"
        if not self._pixels:
            self._headers.append(Header(*_HEADER.unpack_from(self._data, start + 8)))

    def _text(self, kind: bytes, start: int, end: int) -> None:
        """Remember the last text of each kind that may tell an orientation."""
        if kind == b"eXIf":
            self._texts = self._texts._replace(exif=(start + 8, end - 4))
            return
        key = bytes(self._data[start + 8 : min(end - 4, start + 8 + _LONGEST_KEY + 1)]).split(b"\0")[0]
        if key == _XMP_TEXT:
            self._texts = self._texts._replace(xmp=(start, end))
        elif key == _EXIF_TEXTS[1]:
            self._texts = self._texts._replace(exif_text=(start, end))
        elif key == _EXIF_TEXTS[0] and kind == b"tEXt":
            self._texts = self._texts._replace(exif=(start + 8 + len(key) + 1, end - 4))

    def _whole(self) -> Png:
        header = max(self._headers, key=lambda each: each.width * each.height, default=Header(0, 0, 0, 0, 0, 0, 0))
        damage = self._damage or header.damage or self._palette_damage(header)
        if not self._pixels:
            damage = damage or "it has no pixels"
        needed = [(len(SIGNATURE), len(SIGNATURE) + 12 + _HEADER.size)]
        key = None
        if header.colours == PALETTE and self._palette is not None:
            needed.append(self._palette)
            if self._transparency is not None and self._suits_palette(*self._transparency):
                needed.append(self._transparency)
        elif self._transparency is not None:
            key = self._key(header, *self._transparency)
        size = header.width, header.height
        return Png(self._data, *size, damage, header, needed + self._pixels, key, self._texts)

    def _palette_damage(self, header: Header) -> str | None:
        if header.colours != PALETTE:
            return None
        length = 0 if self._palette is None else self._palette[1] - self._palette[0] - 12
        return None if 3 <= length <= 768 and length % 3 == 0 else "its palette is missing, or no palette"

    def _suits_palette(self, start: int, end: int) -> bool:
        assert self._palette is not None
        entries = (self._palette[1] - self._palette[0] - 12) // 3
        return self._palette[0] < start and 1 <= end - start - 12 <= entries and _is_intact(self._data, start, end)

    def _key(self, header: Header, start: int, end: int) -> tuple[int, ...] | None:
        """The colour key, where the picture can have one and it is intact."""
        samples = {GREY: 1, RGB: 3}.get(header.colours, 0)
        if not samples or end - start - 12 != 2 * samples or not _is_intact(self._data, start, end):
            return None
        most = (1 << header.depth) - 1
        return tuple(each & most for each in struct.unpack_from(f">{samples}H", self._data, start + 8))


def _is_intact(data: Buffer, start: int, end: int) -> bool:
    view = memoryview(data)
    return zlib.crc32(view[start + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ranges, those that follow one another without a gap as one."""
    joined = ranges[:1]
    for start, end in ranges[1:]:
        if joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _text(data: Buffer, start: int, end: int) -> bytes:
    """The content of a tEXt, zTXt or iTXt chunk, unpacked as far as it is read; nothing where it is damaged."""
    kind = bytes(data[start + 4 : start + 8])
    _, _, rest = bytes(data[start + 8 : end - 4]).partition(b"\0")
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return unpacked(rest[1:]) if rest[:1] == b"\0" else b""
    packed, method, rest = rest[:1], rest[1:2], rest[2:]
    content = rest.split(b"\0", 2)[-1]
    if packed == b"\0":
        return content
    return unpacked(content) if method == b"\0" else b""
