"""Lists what is in folders of pictures, and what is left out of them, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from splitway.api.picture_folders import PictureFolders
from splitway.errors import printable

_SHOWN_CLASSES, _SHOWN_FILES = 40, 5


def print_found(found: PictureFolders, console: Console) -> None:
    """Print the classes with how many pictures each has, and what was left out."""
    table = Table("class", Column("pictures", justify="right"), box=None, header_style="bold")
    for label, files in list(found.pictures.items())[:_SHOWN_CLASSES]:
        table.add_row(label, str(len(files)))
    console.print(table, markup=False)
    if len(found.pictures) > _SHOWN_CLASSES:
        console.print(f"and {len(found.pictures) - _SHOWN_CLASSES} more classes")
    print_left_out(found.left_out, console)


def print_left_out(left_out: Mapping[Path, str], console: Console) -> None:
    """Name what is left out, grouped by why: a few of each, and how many more."""
    for reason in dict.fromkeys(left_out.values()):
        paths = [path for path, why in left_out.items() if why == reason]
        named = ", ".join(printable(str(path)) for path in paths[:_SHOWN_FILES])
        more = f" and {len(paths) - _SHOWN_FILES} more" if len(paths) > _SHOWN_FILES else ""
        console.print(f"left out ({printable(reason)}): {named}{more}", markup=False)
