"""A PNG: what its chunks say, what decoding it costs, and the file without what says nothing of its pixels.

Only the header, the palette, a palette's transparency and the pixels reach the decoder; a colour key is applied to what
it decodes, for decoders compare it with samples that they have scaled already. What stands beside the pixels is never
unpacked, and may be damaged. As in libpng a wrong checksum of what the pixels need is an error, and so is a critical
chunk that is not known.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from splitway.errors import InvalidInput
from splitway.kinds.image.orientation import exif_in_text, orientation, unpacked
from splitway.kinds.image.parts import MAX_CHUNKS, MAX_SEGMENTS, SLACK_BYTES, Target, reduction, refuse
from splitway.wire.tensor import Buffer

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
_FORMS = {
    (depth, colours, 0, 0, interlaced)
    for colours, depths in _DEPTHS.items()
    for depth in depths
    for interlaced in (0, 1)
}
"""What a header may say of depth, colours, compression, filters and interlacing."""
_CHUNK, _HEADER = struct.Struct(">I4s"), struct.Struct(">IIBBBBB")
_AROUND = 12
"""Bytes of a chunk beside its content: length, kind and checksum."""
_HEADER_RANGE = (len(SIGNATURE), len(SIGNATURE) + _AROUND + _HEADER.size)
_FRAMES = (b"fcTL", b"fdAT")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_EXIF_TEXTS, _XMP_TEXT = (b"exif", b"Raw profile type exif"), b"XML:com.adobe.xmp"
_LONGEST_KEY = 79
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_RAW_BYTE_S, _BYTE_S, _PASSES = 3e-9, 9e-9, 1.5
_CONVERTED_PIXEL_S, _KEYED_PIXEL_S = 12e-9, 25e-9
_PASS_STARTS = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each of Adam7's passes: first column and row, and the steps to the next."""
_INFLATED_AT_ONCE = 1 << 16
_SMALL_PIXELS, _MOST_BYTES_A_PIXEL = 1 << 16, 16
"""A picture of so few pixels takes next to nothing beside the decoder's own memory: the most of any form is said."""
Range = tuple[int, int]
"""First byte and end of a chunk, or of a part of one."""


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
    def raw_bytes(self) -> int:
        """How many bytes all rows unpack to, each with its filter."""
        bits = self.depth * _CHANNELS.get(self.colours, 4)
        if not self.interlaced:
            return self.height * (1 + (self.width * bits + 7) // 8)
        total = 0
        for x, y, right, down in _PASS_STARTS:
            columns, rows = max(0, -(-(self.width - x) // right)), max(0, -(-(self.height - y) // down))
            total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
        return total


_NO_HEADER = Header(0, 0, 0, 0, 0, 0, 0)


class Png:
    """A PNG, or the first picture of an animated one. Raises InvalidInput for more chunks than pictures have."""

    name = "PNG"
    damage: str | None = None
    header = _NO_HEADER
    _palette: Range | None = None
    _transparency: Range | None = None
    _exif: Range | None = None
    _exif_text: Range | None = None
    _xmp: Range | None = None
    _others = 0

    def __init__(self, data: Buffer) -> None:
        self.data = data
        self._pixels: list[Range] = []
        self._read()
        header = self.header
        self.width, self.height, self.raw_bytes = header.width, header.height, header.raw_bytes
        self.damage = self.damage or self._contradiction(header)
        self.key = None if self._transparency is None else self._key(header, *self._transparency)
        """The samples of the transparent colour, as deep as the picture's are; one if it is grey, else three."""
        self.seconds = self._seconds(header)
        """Of a processor, that decoding takes at most."""

    @property
    def has_deep_key(self) -> bool:
        """Whether it is decoded twice, once for each byte of its samples."""
        return self.key is not None and (self.header.depth, self.header.colours) == (16, RGB)

    def _seconds(self, header: Header) -> float:
        raw_s = self.raw_bytes * _RAW_BYTE_S + len(self.data) * _BYTE_S
        if header.interlaced:
            raw_s *= _PASSES
        if self.key is not None:
            return raw_s * (2 if self.has_deep_key else 1) + self.width * self.height * _KEYED_PIXEL_S
        if header.colours == RGB or (header.colours == GREY and header.depth in (2, 4, 8)):
            return raw_s
        return raw_s + self.width * self.height * _CONVERTED_PIXEL_S

    def memory_bytes(self, target: Target) -> int:
        """Bytes of memory that decoding takes, at most; the file counts twice, for the decoder has one of its own."""
        pixels = self.width * self.height
        if pixels <= _SMALL_PIXELS:
            return 2 * len(self.data) + SLACK_BYTES + pixels * _MOST_BYTES_A_PIXEL
        header = self.header
        if self.has_deep_key:
            decoded = 8
        elif header.colours in (GREY, PALETTE):
            decoded = 2 if header.depth == 16 else 1
        else:
            decoded = 4
        is_grey = header.colours == GREY
        shrinks = header.colours != PALETTE and (header.depth in (2, 4, 8) or not is_grey or self.key is not None)
        shrinks = shrinks and (is_grey, header.depth) != (True, 1)
        factor = max(1, reduction(self.width, self.height, target)) if shrinks else 1
        made = -(-self.width // factor) * -(-self.height // factor) * 4
        return 2 * len(self.data) + SLACK_BYTES + max(pixels * decoded + made, 2 * made)

    def orientation(self) -> int:
        data = self.data
        exif: Buffer = b"" if self._exif is None else data[slice(*self._exif)]
        if not exif and self._exif_text is not None:
            exif = exif_in_text(_text(data, *self._exif_text))
        return orientation(exif, b"" if self._xmp is None else _text(data, *self._xmp))

    def for_decoder(self) -> bytes:
        """The file without what says nothing of the pixels. Raises InvalidInput where a checksum is wrong."""
        view = memoryview(self.data)
        parts: list[Buffer] = [SIGNATURE]
        for start, end in (_HEADER_RANGE, *self._palette_chunks(), *self._pixels):
            if not is_intact(view, start, end):
                kind = bytes(view[start + 4 : start + 8]).decode("ascii")
                raise InvalidInput(f"the picture is damaged: the checksum of its chunk {kind} is wrong")
            parts.append(view[start:end])
        parts.append(_END)
        return b"".join(parts)

    def holds_every_row(self) -> bool:
        """Whether the pixels unpack to as many bytes as the header says. Unpacks them."""
        view, left = memoryview(self.data), self.raw_bytes
        inflate = zlib.decompressobj()
        for start, end in self._pixels:
            packed: Buffer = view[start + 8 : end - 4]
            while left > 0 and not inflate.eof:
                unpacked_now = len(inflate.decompress(packed, _INFLATED_AT_ONCE))
                left, packed = left - unpacked_now, inflate.unconsumed_tail
                if unpacked_now < _INFLATED_AT_ONCE and not packed:
                    break
        return left <= 0

    def _read(self) -> None:
        """Read chunk by chunk up to the last. What lies behind whole pixels may be anything."""
        data, pixels = self.data, self._pixels
        length, at = len(data), len(SIGNATURE)
        pixels_ended = False
        for _ in range(MAX_CHUNKS):
            if at + _AROUND > length:
                break
            content, kind = _CHUNK.unpack_from(data, at)
            end = at + _AROUND + content
            if end > length or not kind.isalpha():
                break
            if kind == b"IDAT":
                if not pixels_ended:
                    pixels.append((at, end))
            elif kind == b"IEND":
                return
            else:
                pixels_ended = bool(pixels)
                self._other(kind, at, end)
            at = end
        else:
            raise refuse("chunks", MAX_CHUNKS)
        if not pixels or data[at + 4 : at + 8] == b"IDAT":
            self.damage = self.damage or "it is cut short"

    def _other(self, kind: bytes, start: int, end: int) -> None:
        self._others += kind not in _FRAMES
        if self._others > MAX_SEGMENTS:
            raise refuse("chunks beside its pixels", MAX_SEGMENTS)
        if kind == b"IHDR":
            self._read_header(start, end)
        elif kind in _TEXTS or kind == b"eXIf":
            self._text(kind, start, end)
        elif kind == b"PLTE":
            if self._palette is not None or self._pixels:
                self.damage = "its palette is out of place"
            self._palette = (start, end)
        elif kind == b"tRNS":
            if self._transparency is None and not self._pixels:
                self._transparency = (start, end)
        elif kind[:1].isupper():
            self.damage = f"it needs a chunk {kind.decode('ascii')} that is not supported"

    def _read_header(self, start: int, end: int) -> None:
        if (start, end) != _HEADER_RANGE:
            self.damage = "its header is out of place, or has the wrong length"
        if not self._pixels and end - start >= _AROUND + _HEADER.size:
            header = Header(*_HEADER.unpack_from(self.data, start + 8))
            if self.header is _NO_HEADER or header.width * header.height > self.header.width * self.header.height:
                self.header = header  # of several the largest, for a decoder may take any

    def _text(self, kind: bytes, start: int, end: int) -> None:
        """Remember the last text of each kind that may tell an orientation."""
        if kind == b"eXIf":
            self._exif = (start + 8, end - 4)
            return
        key = bytes(self.data[start + 8 : min(end - 4, start + 8 + _LONGEST_KEY + 1)]).split(b"\0")[0]
        if key == _XMP_TEXT:
            self._xmp = (start, end)
        elif key == _EXIF_TEXTS[1]:
            self._exif_text = (start, end)
        elif key == _EXIF_TEXTS[0] and kind == b"tEXt":
            self._exif = (start + 8 + len(key) + 1, end - 4)

    def _contradiction(self, header: Header) -> str | None:
        """What is wrong with the chunks together."""
        if header[2:] not in _FORMS or not (header.width and header.height):
            return "its header has invalid values"
        if not self._pixels:
            return "it has no pixels"
        if header.colours != PALETTE:
            return None
        length = 0 if self._palette is None else self._palette[1] - self._palette[0] - _AROUND
        return None if 3 <= length <= 768 and length % 3 == 0 else "its palette is missing, or no palette"

    def _palette_chunks(self) -> list[Range]:
        """The palette, and its transparency where that is whole and behind it."""
        if self._palette is None or self.header.colours != PALETTE:
            return []
        if self._transparency is None:
            return [self._palette]
        start, end = self._transparency
        entries = (self._palette[1] - self._palette[0] - _AROUND) // 3
        suits = self._palette[0] < start and 1 <= end - start - _AROUND <= entries and is_intact(self.data, start, end)
        return [self._palette, self._transparency] if suits else [self._palette]

    def _key(self, header: Header, start: int, end: int) -> tuple[int, ...] | None:
        """The colour key, where the picture can have one and it is intact."""
        samples = {GREY: 1, RGB: 3}.get(header.colours, 0)
        if not samples or end - start - _AROUND != 2 * samples or not is_intact(self.data, start, end):
            return None
        most = (1 << header.depth) - 1
        return tuple(each & most for each in struct.unpack_from(f">{samples}H", self.data, start + 8))


def is_intact(data: Buffer, start: int, end: int) -> bool:
    """Whether a chunk's checksum is right."""
    view = memoryview(data)
    return zlib.crc32(view[start + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")


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
