"""What a WebP's header says. Its metadata is left to the decoder, which finds it in native code."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from splitway.kinds.image.parts import MAX_SEGMENTS, SLACK_BYTES, Target
from splitway.kinds.image.vp8l import MAX_SETS, MAX_TRANSFORM_PIXELS, check_sets
from splitway.wire.tensor import Buffer

BYTES_A_PIXEL = 12
"""Two canvases of four bytes a pixel that the decoder holds, and the frame that it gives."""
_KINDS = (b"VP8 ", b"VP8L", b"VP8X")
_PIXEL_S, _BYTE_S = 25e-9, 30e-9
_SET_BYTES, _SMALLEST_SET, _SMALLEST_TILE = 20_600, 2.5, 16
"""Of a set of prefix codes: of its tables at most, of the file at least; and pixels that have one together."""
_PIXELS_OF_TWO_TILES, _LOOK_S = 8, 1e-6
"""Of the largest images of two transforms; and for going past a pixel of them, without native code."""
_CHUNK = struct.Struct("<4sI")
_FRAME_HEADER = 16


class Stream(NamedTuple):
    """A lossless stream: where it lies, and the size of what it fills."""

    start: int
    end: int
    width: int
    height: int
    has_header: bool


class Webp(NamedTuple):
    """A WebP, or the first frame of an animated one."""

    data: Buffer
    width: int
    height: int
    damage: str | None = None
    streams: tuple[Stream, ...] = ()
    """What is lossless of the first frame: its pixels, or its alpha."""
    name: str = "WebP"

    @property
    def seconds(self) -> float:
        """Seconds of a processor that decoding takes, at most."""
        pixels = self.width * self.height
        looked_at = min(MAX_TRANSFORM_PIXELS, pixels // _PIXELS_OF_TWO_TILES) if self.streams else 0
        return pixels * _PIXEL_S + len(self.data) * _BYTE_S + looked_at * _LOOK_S

    def memory_bytes(self, target: Target) -> int:
        """Bytes of memory that decoding takes, at most."""
        pixels, size = self.width * self.height, len(self.data)
        return BYTES_A_PIXEL * pixels + size + SLACK_BYTES + min(MAX_SETS, self._possible_sets) * _SET_BYTES

    @property
    def _possible_sets(self) -> int:
        """Sets of prefix codes that the file has room for."""
        if not self.streams:
            return 0
        return min(self.width * self.height // _SMALLEST_TILE, int(len(self.data) / _SMALLEST_SET))

    def check_streams(self) -> None:
        """Check that no lossless stream takes more than its pixels do. Raises as `check_sets`."""
        if self._possible_sets <= MAX_SETS:
            return
        view = memoryview(self.data)
        for start, end, width, height, has_header in self.streams:
            check_sets(view[start:end], width, height, has_header=has_header)


def is_webp(start: bytes) -> bool:
    """Whether a file that begins with these 16 bytes or more is a WebP."""
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP" and start[12:16] in _KINDS


def look_at_webp(data: Buffer) -> Webp:
    """Read a WebP's header; the size is 0 x 0 where it says none."""
    size = _size(bytes(data[:30]))
    return Webp(data, *size, streams=tuple(_streams(data, *size)))


def _streams(data: Buffer, width: int, height: int) -> Iterator[Stream]:
    """The lossless streams of the first frame, which ends with the first chunk of an image."""
    at = 12
    for _ in range(MAX_SEGMENTS):
        if at + _CHUNK.size > len(data):
            return
        kind, length = _CHUNK.unpack_from(data, at)
        start, end = at + _CHUNK.size, min(at + _CHUNK.size + length, len(data))
        at = end + (length & 1)
        if kind == b"ANMF" and start + _FRAME_HEADER <= len(data):
            frame = bytes(data[start : start + _FRAME_HEADER])
            width, height = (int.from_bytes(frame[place : place + 3], "little") + 1 for place in (6, 9))
            at = start + _FRAME_HEADER
        elif kind == b"ALPH" and start < end and data[start] & 3 == 1:
            yield Stream(start + 1, end, width, height, False)
        elif kind in (b"VP8L", b"VP8 "):
            if kind == b"VP8L":
                yield Stream(start, end, width, height, True)
            return


def _size(header: bytes) -> tuple[int, int]:
    kind = header[12:16]
    if len(header) >= 25 and kind == b"VP8L" and header[20] == 0x2F:
        bits = int.from_bytes(header[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(header) < 30:
        return 0, 0
    if kind == b"VP8X":
        return int.from_bytes(header[24:27], "little") + 1, int.from_bytes(header[27:30], "little") + 1
    if kind == b"VP8 " and header[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(header[26:28], "little") & 0x3FFF, int.from_bytes(header[28:30], "little") & 0x3FFF
    return 0, 0
