"""Reading a PNG's chunks. What stands beside the pixels is never unpacked, and may be damaged; as in libpng a critical
chunk that is not known is an error."""

from __future__ import annotations

import struct

from splitway.kinds.image.parts import MAX_CHUNKS, MAX_SEGMENTS, refuse
from splitway.kinds.image.png import GREY, NO_TEXTS, PALETTE, RGB, SIGNATURE, Header, Png, Range, Texts, is_intact
from splitway.wire.tensor import Buffer

_CHUNK, _HEADER = struct.Struct(">I4s"), struct.Struct(">IIBBBBB")
_AROUND = 12
"""Bytes of a chunk beside its content: length, kind and checksum."""
_FRAMES = (b"fcTL", b"fdAT")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_EXIF_TEXTS, _XMP_TEXT = (b"exif", b"Raw profile type exif"), b"XML:com.adobe.xmp"
_LONGEST_KEY = 79
_NO_HEADER = Header(0, 0, 0, 0, 0, 0, 0)
_HEADER_RANGE = (len(SIGNATURE), len(SIGNATURE) + _AROUND + _HEADER.size)


def look_at_png(data: Buffer) -> Png:
    """Read a PNG's chunks. Raises InvalidInput for more of them than pictures have."""
    return _PngReader(data).read()


class _PngReader:
    _header = _NO_HEADER
    _palette: Range | None = None
    _transparency: Range | None = None
    _texts: Texts = NO_TEXTS
    _damage: str | None = None
    _others = 0

    def __init__(self, data: Buffer) -> None:
        self._data = data
        self._pixels: list[Range] = []

    def read(self) -> Png:
        """Read chunk by chunk up to the last. What lies behind whole pixels may be anything."""
        data, pixels = self._data, self._pixels
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
                return self._whole()
            else:
                pixels_ended = bool(pixels)
                self._other(kind, at, end)
            at = end
        else:
            raise refuse("chunks", MAX_CHUNKS)
        if not pixels or data[at + 4 : at + 8] == b"IDAT":
            self._damage = self._damage or "it is cut short"
        return self._whole()

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
                self._damage = "its palette is out of place"
            self._palette = (start, end)
        elif kind == b"tRNS":
            if self._transparency is None and not self._pixels:
                self._transparency = (start, end)
        elif kind[:1].isupper():
            self._damage = f"it needs a chunk {kind.decode('ascii')} that is not supported"

    def _read_header(self, start: int, end: int) -> None:
        if (start, end) != _HEADER_RANGE:
            self._damage = "its header is out of place, or has the wrong length"
        if not self._pixels and end - start >= _AROUND + _HEADER.size:
            header = Header(*_HEADER.unpack_from(self._data, start + 8))
            if self._header is _NO_HEADER or header.width * header.height > self._header.width * self._header.height:
                self._header = header  # of several the largest, for a decoder may take any

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
        header, pixels = self._header, self._pixels
        damage = self._damage or header.damage or (None if pixels else "it has no pixels")
        beside, key = [_HEADER_RANGE], None
        if header.colours == PALETTE:
            damage = damage or self._palette_damage()
            beside += self._palette_chunks()
        elif self._transparency is not None:
            key = self._key(header, *self._transparency)
        raw = header.raw_bytes
        seconds = header.seconds(raw, len(self._data), is_keyed=key is not None)
        return Png(
            self._data, header.width, header.height, damage, header, raw, beside, pixels, key, self._texts, seconds
        )

    def _palette_damage(self) -> str | None:
        length = 0 if self._palette is None else self._palette[1] - self._palette[0] - _AROUND
        return None if 3 <= length <= 768 and length % 3 == 0 else "its palette is missing, or no palette"

    def _palette_chunks(self) -> list[Range]:
        """The palette, and its transparency where that is whole and behind it."""
        if self._palette is None:
            return []
        if self._transparency is None:
            return [self._palette]
        start, end = self._transparency
        entries = (self._palette[1] - self._palette[0] - _AROUND) // 3
        suits = self._palette[0] < start and 1 <= end - start - _AROUND <= entries and is_intact(self._data, start, end)
        return [self._palette, self._transparency] if suits else [self._palette]

    def _key(self, header: Header, start: int, end: int) -> tuple[int, ...] | None:
        """The colour key, where the picture can have one and it is intact."""
        samples = {GREY: 1, RGB: 3}.get(header.colours, 0)
        if not samples or end - start - _AROUND != 2 * samples or not is_intact(self._data, start, end):
            return None
        most = (1 << header.depth) - 1
        return tuple(each & most for each in struct.unpack_from(f">{samples}H", self._data, start + 8))
