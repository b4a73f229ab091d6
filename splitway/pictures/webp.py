"""What a WebP's header says. Its metadata is left to the decoder, which finds it in native code."""

from __future__ import annotations

from typing import NamedTuple

from splitway.pictures.parts import SLACK_BYTES, Target
from splitway.wire.tensor import Buffer

BYTES_A_PIXEL = 12
"""Two canvases of four bytes a pixel that the decoder holds, and the frame that it gives."""
_KINDS = (b"VP8 ", b"VP8L", b"VP8X")
_PIXEL_S, _BYTE_S = 25e-9, 30e-9


class Webp(NamedTuple):
    """A WebP, or the first frame of an animated one."""

    data: Buffer
    width: int
    height: int
    damage: str | None = None
    name: str = "WebP"

    @property
    def seconds(self) -> float:
        """Seconds of a processor that decoding takes, at most."""
        return self.width * self.height * _PIXEL_S + len(self.data) * _BYTE_S

    def memory_bytes(self, target: Target) -> int:
        """Bytes of memory that decoding takes, at most."""
        return BYTES_A_PIXEL * self.width * self.height + len(self.data) + SLACK_BYTES


def is_webp(start: bytes) -> bool:
    """Whether a file that begins with these 16 bytes or more is a WebP."""
    return start[:4] == b"RIFF" and start[8:12] == b"WEBP" and start[12:16] in _KINDS


def look_at_webp(data: Buffer) -> Webp:
    """Read a WebP's header; the size is 0 x 0 where it says none."""
    return Webp(data, *_size(bytes(data[:30])))


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
