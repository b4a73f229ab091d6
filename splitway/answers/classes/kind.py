"""Which outputs can be answered as classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from splitway.names import PROBABILITIES


class Output(Protocol):
    """A tensor that a head gives."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


def gives_classes(outputs: Iterable[Output]) -> bool:
    """Whether a head can be asked for the best classes: one `probabilities`, a row of them for each row."""
    return any(output.name == PROBABILITIES and len(output.shape) == 2 for output in outputs)
