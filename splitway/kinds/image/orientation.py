"""Which way up a picture is, by EXIF tag 0x0112 or, without one, by XMP: a bounded look that no other tag disturbs."""

from __future__ import annotations

import re
import struct
import zlib

from splitway.kinds.image.parts import MAX_ENTRIES
from splitway.wire.tensor import Buffer

UPRIGHT = 1
_PREFIX = b"Exif\0\0"
_MOST_PREFIXES = 16
_ORDERS = {b"II": "<", b"MM": ">"}
_TAG = 0x0112
_FORMS = {3: "H", 8: "H", 4: "I", 9: "I"}
"""Of an entry's value, by the entry's kind."""
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_MOST_UNPACKED = 1 << 20
_AS_TEXT_HEADER_LINES = 3


def orientation(exif: Buffer, xmp: Buffer = b"") -> int:
    """Return the orientation, 1 to 8; 1 where neither block says one.

    Args:
        exif: a TIFF structure, with or without `Exif\\0\\0` before it; only its first directory is looked at.
        xmp: an XMP packet, read where `exif` says nothing.
    """
    said = _in_exif(exif) if exif else None
    if said is None and xmp:
        match = _XMP.search(xmp)
        said = int(match[1]) if match else None
    return said if said is not None and 1 <= said <= 8 else UPRIGHT


def _in_exif(exif: Buffer) -> int | None:
    at = 0
    for _ in range(_MOST_PREFIXES):
        if exif[at : at + len(_PREFIX)] != _PREFIX:
            break
        at += len(_PREFIX)
    order = _ORDERS.get(bytes(exif[at : at + 2]))
    if order is None or len(exif) < at + 8:
        return None
    begins = at + struct.unpack_from(f"{order}I", exif, at + 4)[0]
    if begins + 2 > len(exif):
        return None
    (entries,) = struct.unpack_from(f"{order}H", exif, begins)
    whole = min(entries, MAX_ENTRIES, (len(exif) - begins - 2) // 12)
    said = None  # the last one counts, as Pillow has it
    entry = f"{order}HHI4s"
    for tag, kind, count, value in struct.iter_unpack(entry, memoryview(exif)[begins + 2 : begins + 2 + 12 * whole]):
        form = _FORMS.get(kind)
        if tag == _TAG and count == 1 and form is not None:
            (said,) = struct.unpack_from(order + form, value)
    return said


def unpacked(packed: Buffer) -> bytes:
    """The first megabyte of a deflated text; nothing where it is damaged."""
    try:
        return zlib.decompressobj().decompress(packed, _MOST_UNPACKED)
    except zlib.error:
        return b""


def exif_in_text(text: bytes) -> bytes:
    """EXIF as ImageMagick writes it into a PNG: three lines, then hexadecimal digits."""
    lines = text.split(b"\n", _AS_TEXT_HEADER_LINES)
    try:
        return bytes.fromhex(lines[-1].decode("ascii")) if len(lines) > _AS_TEXT_HEADER_LINES else b""
    except ValueError:
        return b""
