"""A PNG: what its header says, what decoding it costs, and the file without what says nothing of its pixels.

Only the header, the palette, a palette's transparency and the pixels reach the decoder; a colour key is applied to what
it decodes, for decoders compare it with samples that they have scaled already. As in libpng a wrong checksum of what
the pixels need is an error.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from splitway.errors import InvalidInput
from splitway.kinds.image.orientation import UPRIGHT, exif_in_text, orientation, unpacked
from splitway.kinds.image.parts import SLACK_BYTES, Target, reduction
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
    def damage(self) -> str | None:
        is_known = self[2:] in _FORMS and self.width and self.height
        return None if is_known else "its header has invalid values"

    @property
    def is_deep_rgb(self) -> bool:
        """Whether it is decoded twice where it has a colour key, once for each byte of its samples."""
        return self.depth == 16 and self.colours == RGB

    def seconds(self, raw_bytes: int, file_bytes: int, *, is_keyed: bool) -> float:
        """Seconds of a processor that decoding takes, at most.

        Args:
            raw_bytes: as this says.
            file_bytes: of the whole file.
            is_keyed: whether a colour is transparent.
        """
        raw_s = raw_bytes * _RAW_BYTE_S + file_bytes * _BYTE_S
        if self.interlaced:
            raw_s *= _PASSES
        if is_keyed:
            return raw_s * (2 if self.is_deep_rgb else 1) + self.width * self.height * _KEYED_PIXEL_S
        if self.colours == RGB or (self.colours == GREY and self.depth in (2, 4, 8)):
            return raw_s
        return raw_s + self.width * self.height * _CONVERTED_PIXEL_S

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


class Texts(NamedTuple):
    """Where metadata stands that may tell an orientation, or None."""

    exif: Range | None = None
    exif_text: Range | None = None
    xmp: Range | None = None


NO_TEXTS = Texts()


class Png(NamedTuple):
    """A PNG, or the first picture of an animated one."""

    data: Buffer
    width: int
    height: int
    damage: str | None
    header: Header
    raw_bytes: int
    """The header's."""
    beside: list[Range]
    """Chunks that the decoder needs before those of the pixels, in order."""
    pixels: list[Range]
    key: tuple[int, ...] | None
    """The samples of the transparent colour, as deep as the picture's are; one if it is grey, else three."""
    texts: Texts
    seconds: float
    """Of a processor, that decoding takes at most."""
    name: str = "PNG"

    def memory_bytes(self, target: Target) -> int:
        """Bytes of memory that decoding takes, at most; the file counts twice, for the decoder has one of its own."""
        pixels = self.width * self.height
        if pixels <= _SMALL_PIXELS:
            return 2 * len(self.data) + SLACK_BYTES + pixels * _MOST_BYTES_A_PIXEL
        header = self.header
        decoded = 8 if self._has_deep_key else self._bytes_a_pixel
        is_grey = header.colours == GREY
        shrinks = header.colours != PALETTE and (header.depth in (2, 4, 8) or not is_grey or self.key is not None)
        shrinks = shrinks and (is_grey, header.depth) != (True, 1)
        factor = max(1, reduction(self.width, self.height, target)) if shrinks else 1
        made = -(-self.width // factor) * -(-self.height // factor) * 4
        return 2 * len(self.data) + SLACK_BYTES + max(pixels * decoded + made, 2 * made)

    @property
    def _has_deep_key(self) -> bool:
        return self.key is not None and self.header.is_deep_rgb

    @property
    def _bytes_a_pixel(self) -> int:
        """Bytes of a decoded pixel."""
        if self.header.colours in (GREY, PALETTE):
            return 2 if self.header.depth == 16 else 1
        return 4

    def orientation(self) -> int:
        texts = self.texts
        if texts is NO_TEXTS:
            return UPRIGHT
        data = self.data
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
        parts: list[Buffer] = [SIGNATURE]
        for start, end in (*self.beside, *self.pixels):
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
        for start, end in self.pixels:
            packed: Buffer = view[start + 8 : end - 4]
            while left > 0 and not inflate.eof:
                unpacked_now = len(inflate.decompress(packed, _INFLATED_AT_ONCE))
                left, packed = left - unpacked_now, inflate.unconsumed_tail
                if unpacked_now < _INFLATED_AT_ONCE and not packed:
                    break
        return left <= 0


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
