"""How large a picture says it is, out of its header and without a decoder.

What the stages' decoder would take as the size is found here in the same way: of several that a header names the
largest, so that nobody announces a small picture and has a large one decoded. The work is bounded, whatever the bytes:
a decoder may go through millions of empty parts, one byte of padding after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from splitway.wire.tensor import Buffer

Size = tuple[int, int]
"""Width and height."""
_MAX_PARTS = 2048
"""Segments of a JPEG, and bytes between them, or chunks of a PNG, that are looked at; real ones have a few dozen."""
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_WEBP_KINDS = (b"VP8 ", b"VP8L", b"VP8X")
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC})
_ALONE = frozenset({0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
"""Markers that no segment follows."""
_START_OF_SCAN = 0xDA
_SEGMENT = struct.Struct(">BBH")


def is_picture(data: Buffer) -> bool:
    """Whether these bytes begin as a JPEG, PNG or WebP does: nothing else meets a decoder."""
    return _kind(data) is not None


def picture_size(data: Buffer) -> Size | None:
    """Return the size that a JPEG, PNG or WebP says; None where it says none, or not soon enough."""
    kind = _kind(data)
    if kind is None:
        return None
    if kind == "webp":
        return _webp_size(bytes(data[:30]))
    view = memoryview(data)
    sizes = list(_jpeg_sizes(view) if kind == "jpeg" else _png_sizes(view))
    if None in sizes:
        return None
    return max((size for size in sizes if size is not None), key=lambda size: size[0] * size[1], default=None)


def _kind(data: Buffer) -> str | None:
    start = bytes(data[:16])
    if start.startswith(_JPEG):
        return "jpeg"
    if start.startswith(_PNG):
        return "png"
    is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP" and start[12:16] in _WEBP_KINDS
    return "webp" if is_webp else None


def _jpeg_sizes(data: memoryview) -> Iterator[Size | None]:
    """The sizes of all frame headers before the first scan; None at the end if that is too far away."""
    at, end = 2, data.nbytes
    for _ in range(_MAX_PARTS):
        if at + 4 > end:
            return
        mark, marker, length = _SEGMENT.unpack_from(data, at)
        if mark != 0xFF or marker == 0xFF:  # junk between segments, and padding, byte by byte
            at += 1
        elif marker == 0 or marker in _ALONE:
            at += 2
        elif marker == _START_OF_SCAN or marker < 0xC0:  # below, there is no marker that a decoder knows
            return
        else:
            if marker in _FRAME_HEADERS and at + 9 <= end:
                height, width = struct.unpack_from(">HH", data, at + 5)
                yield width, height
            at += 2 + max(2, length)
    yield None


def _png_sizes(data: memoryview) -> Iterator[Size | None]:
    """The sizes of all headers before the pixels; None at the end if those are too far away."""
    at, end = len(_PNG), data.nbytes
    for _ in range(_MAX_PARTS):
        if at + 16 > end:
            return
        length, name = struct.unpack_from(">I4s", data, at)
        if name in (b"IDAT", b"fdAT"):
            return
        if name == b"IHDR":
            yield struct.unpack_from(">II", data, at + 8)
        at += 12 + length
    yield None


def _webp_size(header: bytes) -> Size | None:
    kind = header[12:16]
    if len(header) >= 25 and kind == b"VP8L" and header[20] == 0x2F:
        bits = int.from_bytes(header[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(header) < 30:
        return None
    if kind == b"VP8X":
        return int.from_bytes(header[24:27], "little") + 1, int.from_bytes(header[27:30], "little") + 1
    if kind == b"VP8 " and header[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", header, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
