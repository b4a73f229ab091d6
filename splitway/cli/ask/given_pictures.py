"""The pictures that a command is given: files, folders of files, and `-` for one on stdin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from splitway.api.picture_files import HIDDEN, files_in, read_picture
from splitway.cli.ask.unread import STDIN
from splitway.cli.console import ERR
from splitway.cli.heads.listing import print_left_out
from splitway.errors import SetupError

_MOST_BYTES = 256 * 1024 * 1024
"""From stdin; what serves takes less."""


def named_pictures(given: Sequence[Path]) -> list[Path]:
    """Return the files, with the pictures of a folder and of all folders inside it, sorted, in its place.

    Says on stderr how many those are, and what is left out.

    Raises:
        SetupError: a folder has no picture, or stdin is given twice, or is a terminal.
    """
    if STDIN in given and (list(given).count(STDIN) > 1 or sys.stdin.isatty()):
        raise SetupError("- is one picture on stdin, given once, such as: splitway classify - < cat.jpg")
    return [file for path in given for file in (_in_folder(path) if path.is_dir() else [path])]


def _in_folder(folder: Path) -> list[Path]:
    found = dict(files_in(folder))
    pictures = [file for file, why in found.items() if why is None]
    left_out = {file: why for file, why in found.items() if why not in (None, HIDDEN)}
    if not pictures:
        raise SetupError(f"{folder} is a folder without pictures")
    ERR.print(f"{len(pictures)} pictures in {folder}", markup=False)
    print_left_out({file: str(why) for file, why in left_out.items()}, ERR)
    return pictures


def read_given(file: Path) -> bytes:
    """Return the bytes of a picture. Raises OSError for what cannot be read, with why in `strerror`."""
    if file != STDIN:
        return read_picture(file)
    content = sys.stdin.buffer.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(0, f"stdin is more than {_MOST_BYTES} bytes")
    return content
