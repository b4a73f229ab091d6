"""What is said of pictures that have no answer, for which nothing heavy is imported here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from splitway.cli.console import ERR
from splitway.errors import printable

STDIN = Path("-")
in_one_line = partial(printable, keep="")
"""Names, labels and details, safe for a terminal."""


def all_missing(files: Sequence[Path]) -> Mapping[Path, str]:
    """Why none of these can be read, where that is so: nothing need be loaded to say so. Nothing if one may be."""
    missing: dict[Path, str] = {}
    for file in files:
        try:
            if file == STDIN or file.stat():
                return {}
        except OSError as error:
            missing[file] = why_unread(error)
    return missing


def why_unread(error: OSError) -> str:
    """The failure of a picture whose file cannot be read."""
    return f"cannot be read: {error.strerror}"


def print_failure(file: Path, error: str) -> None:
    """Say on stderr why a picture has no answer."""
    ERR.print(in_one_line(f"{file}: {error}"), style="red", markup=False)


def print_line(file: Path, content: Mapping[str, Any]) -> None:
    """Print what is said of a picture as a line of JSON."""
    print(json.dumps({"file": str(file), **content}, allow_nan=False))
