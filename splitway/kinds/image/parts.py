"""Limits on the parts of a picture's file, and what the readers of all formats share.

Pictures that people and programs make stay far below every limit here; each bounds the work of reading a file's parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from splitway.errors import InvalidInput
from splitway.wire.aside import STEP_BYTES, give_way
from splitway.wire.tensor import Buffer

MAX_SEGMENTS = 1_000
"""Segments of a JPEG before its first scan, and behind it where they have to be gone through; chunks of a PNG beside
its pixels."""
MAX_CHUNKS = 10_000
"""All chunks of a PNG, those of an animation's further frames included."""
MAX_SCANS = 64
"""How often a JPEG may go over the whole picture; encoders do so ten times."""
MAX_FILLING = 4_096
"""Bytes of a JPEG before its first scan that are in no segment."""
MAX_ENTRIES = 4_096
"""Entries of an EXIF directory that are looked at."""
MAX_TABLES = 4_096
"""Bytes of all quantization tables of a JPEG before its first scan."""

SLACK_BYTES = 1 << 22
"""What a decoder takes beside pictures."""

Target = tuple[int, int]
"""Width and height that a picture is to have in the end, before it is turned upright."""


def refuse(what: str, most: int) -> InvalidInput:
    """The error for a file with more parts than a picture needs."""
    return InvalidInput(f"the picture has more than {most} {what}, which no picture needs")


def join(data: Buffer, ranges: Sequence[tuple[int, int]]) -> bytes:
    """The ranges of a file one after the other; the file itself where that is all of it."""
    if len(ranges) == 1 and ranges[0] == (0, len(data)) and isinstance(data, bytes):
        return data
    view = memoryview(data)
    return b"".join([view[start:end] for start, end in ranges])


def find_in_steps(two_bytes: re.Pattern[bytes], data: Buffer, at: int) -> Iterator[re.Match[bytes]]:
    """Where a pattern of two bytes matches from `at` on; in steps, so that it may be done beside an event loop."""
    while at < len(data):
        until = min(at + STEP_BYTES, len(data))
        found = two_bytes.search(data, at, until + 1)
        if found is not None:
            yield found
            at = found.end()
        else:
            at = until
            if until < len(data):
                give_way()


def reduction(width: int, height: int, target: Target) -> int:
    """By what whole factor a picture can be shrunk while at least twice the target's size remains."""
    return min(width // target[0], height // target[1]) // MARGIN


MARGIN = 2
"""A large picture may be decoded or shrunk while this many times the target's size remains."""
