"""What a JPEG's frame header says."""

from __future__ import annotations

from typing import NamedTuple

from splitway.wire.tensor import Buffer


class Component(NamedTuple):
    """One channel of a frame."""

    id: int
    blocks: int
    """Of 8 x 8 samples."""


class Frame(NamedTuple):
    """What a frame header says."""

    kind: int
    width: int
    height: int
    components: tuple[Component, ...]

    @property
    def blocks(self) -> int:
        return sum(component.blocks for component in self.components)


def read_frame(data: Buffer, begins: int, width: int, height: int, channels: int) -> Frame:
    """What a frame header says, of which the length has been checked."""
    at = begins + 10
    sampling = [(data[n], data[n + 1]) for n in range(at, at + 3 * channels, 3)]
    return Frame(data[begins + 1], width, height, _components(width, height, sampling))


def _components(width: int, height: int, sampling: list[tuple[int, int]]) -> tuple[Component, ...]:
    """The channels, with the blocks that each has in whole rows and columns of the largest sampling."""
    factors = [(id_, max(1, both >> 4), max(1, both & 15)) for id_, both in sampling]
    across, down = (max((factor[n] for factor in factors), default=1) for n in (1, 2))
    columns, rows = -(-width // (8 * across)), -(-height // (8 * down))
    return tuple(Component(id_, columns * h * rows * v) for id_, h, v in factors)
