"""Checks the names and versions that the user chooses."""

from __future__ import annotations

import re

from splitway.errors import SetupError
from splitway.names import BODY, EXTRACTOR, GATEWAY, NAME, PIPELINE, VERSION

_TAKEN = re.compile(rf"{EXTRACTOR}|{BODY}_[0-9]+|{PIPELINE}|{GATEWAY}|source")


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
