"""Results of checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["problem", "warning", "ok"]
LEVELS: tuple[Level, ...] = ("problem", "warning", "ok")
"""The worst first."""


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing, and what to do about it; nothing where nothing need be done."""

    name: str
    level: Level
    says: str
    do: str = ""


def ok(name: str, says: str, do: str = "") -> Finding:
    """It is right."""
    return Finding(name, "ok", says, do)


def warning(name: str, says: str, do: str) -> Finding:
    """It works, and may not always."""
    return Finding(name, "warning", says, do)


def problem(name: str, says: str, do: str) -> Finding:
    """It does not work."""
    return Finding(name, "problem", says, do)
