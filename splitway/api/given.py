"""What users give: the names, versions and limits that can be, and the refusal of options that change nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from splitway.errors import SetupError
from splitway.names import BODY, EXTRACTOR, GATEWAY, NAME, PIPELINE, VERSION
from splitway.wire.room import Room

if TYPE_CHECKING:
    import typer

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
