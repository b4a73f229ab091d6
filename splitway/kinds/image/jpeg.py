"""What a JPEG's segments say, and which of them its decoder needs.

Segments that say nothing of the pixels (EXIF, profiles, comments, thumbnails, indexes of further pictures) never reach
the decoder; JFIF and Adobe segments do, for they name the colours, where libjpeg would read them. Scans are counted and
weighed: each goes over the whole picture, and may be a few bytes long.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from splitway.kinds.image.orientation import UPRIGHT, orientation
from splitway.kinds.image.parts import (
    MARGIN,
    MAX_FILLING,
    MAX_SCANS,
    MAX_SEGMENTS,
    MAX_TABLES,
    SLACK_BYTES,
    Target,
    find_in_steps,
    join,
    refuse,
)
from splitway.wire.tensor import Buffer

_SEGMENT, _FRAME = struct.Struct(">BBH"), struct.Struct(">BHHB")
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_SCANS = re.compile(rb"\xff\xda")
_MARKER_AFTER_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_SCAN, _END, _QUANTIZATION = 0xDA, 0xD9, 0xDB
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xDE} - {0xC4, 0xC8, 0xCC})
_READ_BY_DECODERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
_SEQUENTIAL, _PROGRESSIVE, _ARITHMETIC, _LOSSLESS = (0xC0, 0xC1), (0xC2, 0xCA), (0xC9, 0xCA), 0xC3
_ALONE = frozenset({0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
"""Markers without a length behind them."""
_WITH_LENGTH = frozenset(range(0xC0, 0xFF)) - _ALONE
_CHANNELS = (1, 3, 4)
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_MOST_EXIF = 16
"""Segments with EXIF that are put together."""
_BLOCK_S, _COEFFICIENT_S, _ARITHMETIC_S, _CHANNEL_S = 12e-9, 1e-9, 6e-9, 4e-9
_KEPT_BLOCK_S = 60e-9
_DETAIL_LEFT = 512
"""Pixels of the shorter side that remain when detail is left out."""
_BYTE_S, _PROGRESSIVE_BYTE_S = 9e-9, 30e-9
_KEPT_BLOCK_BYTES = 128
_SAMPLE_S = 15e-9


class _Frame(NamedTuple):
    """What a frame header says."""

    kind: int
    components: tuple[tuple[int, int], ...]
    """The id of each channel, and its blocks of 8 x 8 samples."""

    @property
    def blocks(self) -> int:
        return sum(blocks for _, blocks in self.components)


class Jpeg:
    """A JPEG, read up to its first scan; of the rest only the scans' headers, where they matter.

    Raises InvalidInput for more segments, or more scans, than pictures have.
    """

    name = "JPEG"

    def __init__(self, data: Buffer) -> None:
        self.data = data
        self.width = self.height = self._channels = 0
        self.damage: str | None = None
        self._kept: list[tuple[int, int]] = []
        self._run = 0
        self._exif: list[tuple[int, int]] = []
        self._xmp: tuple[int, int] | None = None
        self._frame_at = 0
        self._filling = 0
        self._kept_blocks = 0
        """Blocks whose coefficients are kept until the last scan; 0 for a JPEG that is decoded as it is read."""
        self._coded_s = 0.0
        """Seconds of a processor for what its scans hold, at most."""
        damage = self._read()
        self.damage = self.damage or damage

    @property
    def shrinks(self) -> bool:
        """Whether the decoder can leave out detail, as it cannot of one that is coded without loss."""
        return not self._frame_at or self.data[self._frame_at + 1] != _LOSSLESS

    @property
    def seconds(self) -> float:
        """Seconds of a processor that decoding takes, at most."""
        left_out = max(1, min(self.width, self.height) // _DETAIL_LEFT) if self.shrinks else 1
        return self._coded_s + self.width * self.height / left_out**2 * self._channels * _CHANNEL_S

    def memory_bytes(self, target: Target) -> int:
        """Bytes of memory that decoding takes, at most."""
        scale = self._draft_scale(target)
        pixels = -(-self.width // scale) * -(-self.height // scale)
        kept = _KEPT_BLOCK_BYTES * self._kept_blocks
        return len(self.data) + SLACK_BYTES + max(kept + pixels * (1 if self._channels == 1 else 4), pixels * 8)

    def _draft_scale(self, target: Target) -> int:
        """By what power of two the decoder leaves out detail."""
        if not self.shrinks:
            return 1
        ratio = min(self.width // (target[0] * MARGIN), self.height // (target[1] * MARGIN))
        return 8 if ratio >= 8 else 4 if ratio >= 4 else 2 if ratio >= 2 else 1

    def orientation(self) -> int:
        """As EXIF numbers them, 1 to 8."""
        if not self._exif and self._xmp is None:
            return UPRIGHT
        exif = join(self.data, [(start + len(_EXIF), end) for start, end in self._exif]) if self._exif else b""
        return orientation(exif, b"" if self._xmp is None else self.data[slice(*self._xmp)])

    def for_decoder(self) -> bytes:
        """The file without what says nothing of the pixels."""
        return join(self.data, self._kept)

    def _read(self) -> str | None:
        """Go through the segments, up to the first scan; return what is wrong with them."""
        data, at, size, tables = self.data, 2, len(self.data), 0
        for _ in range(MAX_SEGMENTS):
            if at + 4 > size:
                return "it ends before its first scan"
            mark, kind, length = _SEGMENT.unpack_from(data, at)
            if mark != 0xFF or kind not in _WITH_LENGTH:
                at = self._skip(at)
                continue
            ends = at + 2 + length
            if ends > size or length < 2:
                return "it is cut short" if ends > size else "a segment cannot be read"
            if kind == _SCAN:
                return self._scanned(at)
            if kind >= 0xE0:
                self._beside(kind, at, ends)
            elif kind in _FRAMES:
                self._read_frame(kind, at, ends)
            elif kind == _QUANTIZATION:
                tables += length
                if tables > MAX_TABLES:
                    raise refuse("bytes of quantization tables", MAX_TABLES)
            at = ends
        raise refuse("segments", MAX_SEGMENTS)

    def _skip(self, at: int) -> int:
        """Go on to the next segment, over filling, or over a marker without a length; to the end if there is none."""
        data = self.data
        found = _MARKER.search(data, at, at + MAX_FILLING + 2)
        begins = found.start() if found else min(at + MAX_FILLING + 1, len(data))
        if begins > at:
            self._filling += begins - at
            if self._filling > MAX_FILLING:
                raise refuse("bytes of filling", MAX_FILLING)
            self._drop(at, begins)
            return begins
        if data[at + 1] == _END or data[at + 1] not in _ALONE:
            self.damage = self.damage or "it has an invalid marker, or ends before its first scan"
            return len(data)
        return at + 2

    def _drop(self, start: int, end: int) -> None:
        if self._run < start:
            self._kept.append((self._run, start))
        self._run = end

    def _beside(self, kind: int, begins: int, ends: int) -> None:
        """Take notice of a segment with no pixels in it, and keep it only where it names the colours."""
        content, length = self.data[begins + 4 : begins + 33], ends - begins - 4
        if kind == 0xE0 and length >= 14 and content[:5] == b"JFIF\0":
            return
        if kind == 0xEE and length >= 12 and content[:5] == b"Adobe":
            return
        self._drop(begins, ends)
        if kind != 0xE1:
            return
        if content[:6] == _EXIF and len(self._exif) < _MOST_EXIF:
            self._exif.append((begins + 4, ends))
        elif content == _XMP:
            self._xmp = (begins + 4 + len(_XMP), ends)

    def _read_frame(self, kind: int, begins: int, ends: int) -> None:
        if ends < begins + 10:
            self.damage = "its frame header cannot be read"
            return
        _, height, width, channels = _FRAME.unpack_from(self.data, begins + 4)
        if kind not in _READ_BY_DECODERS:
            self.damage = f"frames of kind {kind - 0xC0} use an unsupported coding"
        elif ends - begins != 10 + 3 * channels or channels not in _CHANNELS:
            self.damage = "its frame header cannot be read"
        elif self._frame_at:
            self.damage = "it has two frame headers"
        if self.width * self.height <= width * height:
            self.width, self.height, self._channels = width, height, channels
            self._frame_at = begins

    def _scanned(self, begins: int) -> str | None:
        """Weigh the scans, of which this is the first; return what is wrong with them."""
        data, frame_at, channels = self.data, self._frame_at, self._channels
        self._kept.append((self._run, len(data)))
        if not frame_at or self.damage is not None or begins + 5 > len(data):
            return "its first scan comes before its frame header, or has none"
        kind, parts = data[frame_at + 1], data[begins + 4]
        if parts == channels and kind in _SEQUENTIAL:
            self._coded_s = self.width * self.height * channels / 64 * _BLOCK_S + len(data) * _BYTE_S
            return None
        frame = _read_frame(data, frame_at, self.width, self.height, channels)
        at_once = parts == channels and kind not in _PROGRESSIVE
        scans = [begins] if at_once else _scans(data, begins)
        self._coded_s = _coded_s(data, frame, scans, at_once=at_once)
        self._kept_blocks = 0 if at_once else frame.blocks
        return None


def _read_frame(data: Buffer, begins: int, width: int, height: int, channels: int) -> _Frame:
    """Read a frame header, of which the length has been checked. A channel has the blocks of whole rows and columns of
    the largest sampling."""
    at = begins + 10
    sampling = [(data[n], max(1, data[n + 1] >> 4), max(1, data[n + 1] & 15)) for n in range(at, at + 3 * channels, 3)]
    across, down = (max(each[n] for each in sampling) for n in (1, 2))
    columns, rows = -(-width // (8 * across)), -(-height // (8 * down))
    return _Frame(data[begins + 1], tuple((id_, columns * h * rows * v) for id_, h, v in sampling))


def _scans(data: Buffer, first: int) -> list[int]:
    """Where scans begin. A comment between two of them may look like one, so more than may be are counted exactly."""
    found = [each.start() for each in islice(find_in_steps(_SCANS, data, first), MAX_SCANS + 1)]
    if len(found) <= MAX_SCANS:
        return found
    exact = list(islice(_exact_scans(data, first), MAX_SCANS + 1))
    if len(exact) > MAX_SCANS:
        raise refuse("scans", MAX_SCANS)
    return exact


def _exact_scans(data: Buffer, at: int) -> Iterator[int]:
    """Where scans begin, going from marker to marker and over the segments behind them."""
    for _ in range(MAX_SEGMENTS):
        found = next(find_in_steps(_MARKER_AFTER_SCAN, data, at), None)
        if found is None or data[found.end() - 1] == _END:
            return
        kind, at = data[found.end() - 1], found.end()
        if kind == _SCAN:
            yield found.start()
        if kind not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
    raise refuse("segments", MAX_SEGMENTS)


def _coded_s(data: Buffer, frame: _Frame, scans: list[int], *, at_once: bool) -> float:
    """Seconds of a processor that the scans take: for each block that one goes over, each coefficient that it may hold
    there, and each byte. What is coded arithmetically may hold many coefficients in a few bits."""
    coefficients = 0
    visited = 0
    for begins in scans:
        blocks, width = _scope(data, frame, begins)
        visited += blocks
        coefficients += blocks * width
    if frame.kind == _LOSSLESS:
        return visited * 64 * _SAMPLE_S + len(data) * _BYTE_S
    if frame.kind in _ARITHMETIC:
        block_s, each_s = 2 * _BLOCK_S, _ARITHMETIC_S
    else:
        block_s, each_s = _BLOCK_S, _COEFFICIENT_S if frame.kind in _PROGRESSIVE else 0.0
    byte_s = _PROGRESSIVE_BYTE_S if frame.kind in _PROGRESSIVE else _BYTE_S
    kept_s = 0.0 if at_once else frame.blocks * _KEPT_BLOCK_S
    return visited * block_s + coefficients * each_s + len(data) * byte_s + kept_s


def _scope(data: Buffer, frame: _Frame, begins: int) -> tuple[int, int]:
    """How many blocks a scan goes over, and how many coefficients of each; everything where it does not say."""
    parts = data[begins + 4] if begins + 5 <= len(data) else 0
    ends = begins + 5 + 2 * parts
    if not 1 <= parts <= 4 or ends + 3 > len(data):
        return frame.blocks, 64
    named = {data[at] for at in range(begins + 5, ends, 2)}
    blocks = sum(each for id_, each in frame.components if id_ in named)
    first, last = data[ends], data[ends + 1]
    if frame.kind not in _PROGRESSIVE or not first <= last <= 63:
        return blocks, 64
    return blocks, last - first + 1
