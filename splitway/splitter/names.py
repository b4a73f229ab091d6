"""Names of tensors as the wire and the engines take them."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from typing import TypeVar

_Value = TypeVar("_Value")
_RESERVED = ("self", *(word.lower() for word in keyword.kwlist))
"""Names that an argument cannot have: TensorFlow's own first argument, and Python's keywords."""


def unique_names(pairs: Sequence[tuple[str, _Value]]) -> dict[str, _Value]:
    """Give each value a name of letters, digits and `_`; a number tells equal names apart.

    Signatures of TensorFlow take capital and small letters for the same.
    """
    named: dict[str, _Value] = {}
    taken = set(_RESERVED)
    for name, value in pairs:
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "tensor"
        if plain[0].isdigit():
            plain = f"t_{plain}"
        unique, number = plain, 1
        while unique.lower() in taken:
            number += 1
            unique = f"{plain}_{number}"
        named[unique] = value
        taken.add(unique.lower())
    return named


def features_names(count: int, name: str) -> list[str]:
    """The names of the tensors at a cut: the one name, or numbered from 1."""
    return [name] if count == 1 else [f"{name}_{number}" for number in range(1, count + 1)]
