"""How a picture's file is built, before anything in it is read: what is cheap to send and dear to read is refused.

Pillow checks a picture's size, and how much one text or profile unpacks to. It does not check how many of them there
are, nor how often a JPEG goes over the whole picture. Pictures that people make stay far below every limit here.
"""

from __future__ import annotations

import re
import struct

from splitway.errors import InvalidInput, TooLarge

MAX_SIDE = 65_535
"""Pixels of one side, which is as far as a JPEG reaches: each row costs memory of its own."""
MAX_SEGMENTS = 1_000
"""Segments of a JPEG, or chunks of a PNG beside its data."""
MAX_DATA_CHUNKS = 10_000
"""Chunks of a PNG with pixels in them, those of an animation's further frames included."""
MAX_PACKED = 16
"""Texts and profiles of a PNG that may each unpack to a megabyte."""
MAX_SCANS = 64
"""How often a JPEG may go over the whole picture; encoders do so ten times."""
MAX_FILLING = 4_096
"""Bytes of a JPEG that are in no segment."""
MAX_ENTRIES = 4_096
"""Entries of an EXIF directory."""

_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_PACKED = (b"iCCP", b"zTXt", b"iTXt")
_DATA = (b"IDAT", b"fcTL", b"fdAT")
_JPEG = b"\xff\xd8"
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MARKER_AFTER_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_ALONE = frozenset({0x01, 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)})
"""Markers without a length behind them."""
_SCAN, _END, _EXIF, _TABLES = 0xDA, 0xD9, 0xE1, 0xC4
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xDE} - {_TABLES, 0xC8, 0xCC})
_WHOLE_SCANS = (0xC0, 0xC1)
_MOST_BYTES = {"frame": 1_024, "quantization": 4_096, "resources": 1 << 20, "exif": 4 << 16}
"""Of all segments of a kind, whose content Pillow reads piece by piece."""


def check_side(width: int, height: int) -> None:
    """Raise TooLarge for a picture that is longer or wider than any."""
    if max(width, height) > MAX_SIDE:
        raise TooLarge(f"the picture has {width} x {height} pixels; at most {MAX_SIDE} on a side are taken")


def check_structure(data: bytes) -> None:
    """Look through the parts that a JPEG or PNG has, without reading them.

    What is damaged or cut short is left for the decoder to find.

    Raises:
        InvalidInput: it has more parts than pictures have.
    """
    if data.startswith(_JPEG):
        _check_jpeg(data)
    elif data.startswith(_PNG):
        _check_png(data)


def is_modest(exif: bytes) -> bool:
    """Whether an EXIF block's first directory has no more entries than any has."""
    block = exif.removeprefix(b"Exif\0\0")
    order = ">" if block[:2] == b"MM" else "<"
    try:
        (at,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, at)
    except struct.error:
        return True
    return bool(entries <= MAX_ENTRIES)


def _refuse(what: str, most: int) -> InvalidInput:
    return InvalidInput(f"the picture has more than {most} {what}, which no picture needs")


def _check_png(data: bytes) -> None:
    at, pixels, packed, others = len(_PNG), 0, 0, 0
    while at + _CHUNK.size <= len(data):
        length, kind = _CHUNK.unpack_from(data, at)
        if kind == b"IEND":
            return
        at += 12 + length
        if kind in _DATA:
            pixels += 1
            if pixels > MAX_DATA_CHUNKS:
                raise _refuse("chunks of pixels", MAX_DATA_CHUNKS)
            continue
        packed += kind in _PACKED
        others += 1
        if packed > MAX_PACKED:
            raise _refuse("packed texts and profiles", MAX_PACKED)
        if others > MAX_SEGMENTS:
            raise _refuse("chunks", MAX_SEGMENTS)


def _check_jpeg(data: bytes) -> None:
    at, filling, segments, scans, frame = len(_JPEG), 0, 0, 0, 0
    held = dict.fromkeys(_MOST_BYTES, 0)
    next_marker = _MARKER
    while at < len(data):
        end = at + MAX_FILLING + 2 if next_marker is _MARKER else len(data)
        found = next_marker.search(data, at, end)
        filling += (found.start() if found else min(end, len(data))) - at if next_marker is _MARKER else 0
        if filling > MAX_FILLING:
            raise _refuse("bytes of filling", MAX_FILLING)
        if found is None:
            return
        kind = found[1][0]
        if kind == _END or (kind == _SCAN and not scans and not _may_have_many_scans(data, frame)):
            return
        next_marker = _MARKER_AFTER_SCAN if kind == _SCAN else _MARKER
        length = 0 if kind in _ALONE else int.from_bytes(data[found.end() : found.end() + 2], "big")
        at = found.end() + length
        segments, scans = segments + 1, scans + (kind == _SCAN)
        frame = kind if kind in _FRAMES else frame
        if segments > MAX_SEGMENTS:
            raise _refuse("segments", MAX_SEGMENTS)
        if scans > MAX_SCANS:
            raise _refuse("scans", MAX_SCANS)
        _count(held, kind, length, data[found.end() + 2 : found.end() + 6])


def _may_have_many_scans(data: bytes, frame: int) -> bool:
    """Where a scan holds every block, as in a frame that is not progressive, it costs no more than its bytes do."""
    return frame not in _WHOLE_SCANS and data.count(b"\xff\xda") > MAX_SCANS


def _count(held: dict[str, int], kind: int, length: int, begins: bytes) -> None:
    """Add a segment to those of its kind. Raises InvalidInput if they are too many."""
    if kind in _FRAMES:
        name = "frame"
    elif kind == 0xDB:
        name = "quantization"
    elif kind == 0xED:
        name = "resources"
    elif kind == _EXIF and begins == b"Exif":
        name = "exif"
    else:
        return
    held[name] += length
    if held[name] > _MOST_BYTES[name]:
        raise _refuse(f"bytes of {name}", _MOST_BYTES[name])
