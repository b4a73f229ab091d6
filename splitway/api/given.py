"""What users give: the names, versions and limits that can be, and the refusal of options that change nothing."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, get_args

from splitway.errors import SetupError
from splitway.names import BODY, EXTRACTOR, GATEWAY, NAME, PIPELINE, VERSION
from splitway.wire.room import Room

if TYPE_CHECKING:
    import typer

Preset = Literal["tf", "torch", "caffe"]
"""A mode of `preprocess_input` in `keras.applications`."""
PRESETS: tuple[Preset, ...] = get_args(Preset)
_TAKEN = re.compile(rf"{EXTRACTOR}|{BODY}_[0-9]+|{PIPELINE}|{GATEWAY}|source")


@dataclass(frozen=True)
class Given:
    """The options on the command line, or the arguments in Python. Defaults and variables are not among them."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Each as the user writes it, by the name of its parameter."""

    @classmethod
    def of(cls, context: typer.Context) -> Given:
        """Return what was given to a command."""
        typed = {}
        for parameter in context.command.params:
            source = context.get_parameter_source(parameter.name or "")
            if source is not None and source.name == "COMMANDLINE":
                typed[parameter.name or ""] = max(parameter.opts, key=len)
        return cls(typed)

    def __contains__(self, name: str) -> bool:
        return name in self.options

    def refuse(self, *names: str, because: str) -> None:
        """Raise SetupError if one of these options was given, which has no effect, with the reason for that."""
        idle = [self.options[name] for name in names if name in self]
        if idle:
            has, it = ("has", "it") if len(idle) == 1 else ("have", "them")
            raise SetupError(f"{' and '.join(idle)} {has} no effect: {because}; leave {it} out")


@dataclass(frozen=True)
class PixelOptions:
    """How pictures are to become what a model takes. Raises SetupError for options that cannot be."""

    range: tuple[float, float] | None = None
    """The model's own values for pixels 0 and 255; those that its first layers tell if not given."""
    preprocess: Preset | None = None
    """In place of a range, what `preprocess_input` of `keras.applications` does."""
    force_range: bool = False
    """Take the range or preset though the model's own layers tell another."""
    crop: float = 1.0
    """Share of the largest centred window that is kept."""
    resample: Literal["bilinear", "bicubic", "box"] = "bilinear"

    def __post_init__(self) -> None:
        if self.range is not None and self.preprocess is not None:
            raise SetupError("--range and --preprocess both say how pixels are scaled: leave one of them out")
        if self.force_range and self.range is None and self.preprocess is None:
            raise SetupError("--force-range has no effect without --range or --preprocess: leave it out")
        if self.preprocess not in (None, *PRESETS):
            raise SetupError(f"--preprocess must be one of {', '.join(PRESETS)}, not {self.preprocess!r}")
        low, high = self.range or (0.0, 255.0)
        if not (math.isfinite(low) and math.isfinite(high)) or low == high:
            raise SetupError(
                f"--range must go from one number to another, not '{low:g}:{high:g}': it would make all pictures the "
                "same"
            )


def check_head_name(name: str) -> None:
    """Raise SetupError for text that cannot be a head's name."""
    if not re.fullmatch(NAME, name) or _TAKEN.fullmatch(name):
        raise SetupError(
            f"{name!r} is not a valid name for a head: use small letters, digits and '_', a letter first, and none of "
            f"{EXTRACTOR}, {BODY}_<number>, pipeline, gateway, source"
        )


def check_version(version: str) -> None:
    """Raise SetupError for text that cannot be a version."""
    if not re.fullmatch(VERSION, version):
        raise SetupError(f"--version must be a whole number from 1 up, not {version!r}")


def room_from_environment() -> Room:
    """The limits of a request to a stage, or their defaults. Raises SetupError for one that is not a number."""
    given = {}
    for limit in fields(Room):
        name = f"SPLITWAY_{limit.name.upper()}"
        text = os.environ.get(name, "").strip()
        if text and not (text.isascii() and text.isdigit() and int(text) > 0):
            raise SetupError(f"{name}={text}: it must be a whole number of bytes, 1 or more")
        if text:
            given[limit.name] = int(text)
    return Room(**given)
