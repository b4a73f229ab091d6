"""A message's body in the pieces in which it lies in memory, so that megabytes need not be copied to be sent."""

from __future__ import annotations

from collections.abc import Sequence

from splitway.wire.tensor import Buffer


class Gathered:
    """Buffers that are one body when written one after the other; `len` is all their bytes.

    Args:
        parts: buffers of bytes, which stay as they are until they have been written.
    """

    __slots__ = ("_size", "parts")

    def __init__(self, parts: Sequence[Buffer]) -> None:
        self.parts = parts
        self._size = sum(map(len, parts))

    def __len__(self) -> int:
        return self._size


Body = bytes | Gathered
