"""What one picture may cost, and the errors for those that cost more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from splitway.errors import TooLarge
from splitway.kinds.image.look import Picture
from splitway.memory_limit import MemoryLimit, read_memory

MOST_MEMORY_BYTES = 240_000_000
"""What decoding may take where no control group says how much there is."""
MAX_SECONDS = 1.0
LARGE_S = 0.1
"""A picture that takes more of a processor is large: such are decoded one at a time."""
_RESERVED_SHARE = 4
"""One part in so many of what a control group allows is left for all that grows beside decoding: bodies of requests
that wait, engines that run side by side for the first time, memory that is free but not given back."""


@dataclass(frozen=True)
class PictureLimits:
    """What one picture may cost."""

    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 25_000_000
    max_seconds: float = MAX_SECONDS
    """Of a processor, as estimated from its header."""
    max_memory_bytes: int = MOST_MEMORY_BYTES
    """For what is decoded outside a served stage, which counts what it decodes at once."""


def memory_for_pictures(told_bytes: int, read: Callable[[], MemoryLimit | None] = read_memory) -> int:
    """Return how many bytes of memory pictures may take: what one was told, or else what the control group allows
    beside all that is in use now, or else a fixed amount."""
    memory = None if told_bytes else read()
    if memory is None:
        return told_bytes or MOST_MEMORY_BYTES
    return max(0, memory.limit_bytes - memory.limit_bytes // _RESERVED_SHARE - memory.used_bytes)


def check_seconds(picture: Picture, most: float) -> None:
    """Raise TooLarge for a picture that takes too long to decode."""
    if (seconds := picture.seconds) > most:
        raise TooLarge(
            f"decoding this {_named(picture)} would take up to {seconds:.1f} s of CPU; at most "
            f"{most:g} s are allowed for one picture (SPLITWAY_MAX_PICTURE_SECONDS)"
        )


def check_memory(picture: Picture, needed_bytes: int, available_bytes: int) -> None:
    """Raise TooLarge for a picture that needs more memory than there is."""
    if needed_bytes > available_bytes:
        raise TooLarge(
            f"decoding this {_named(picture)} takes up to {needed_bytes} bytes of memory; there are "
            f"{available_bytes} for it (SPLITWAY_DECODE_MEMORY_BYTES): send a smaller picture"
            f"{', or a JPEG' if picture.name != 'JPEG' else ''}"
        )


def _named(picture: Picture) -> str:
    return f"{picture.name} of {picture.width} x {picture.height} pixels"
