"""A folder of pictures for each class: what is in it, by its bytes, and what is left out of it and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from splitway.api.picture_files import HIDDEN, files_in
from splitway.errors import SetupError, printable

LEAST = 2
"""Pictures of a class: one to train on and one to hold out."""
_SHOWN_CLASSES, _SHOWN_FILES = 40, 5


@dataclass(frozen=True)
class PictureFolders:
    """The pictures of each class, by its label, and what is in the folders beside them."""

    images: Path
    pictures: dict[str, list[Path]]
    left_out: dict[Path, str]
    """Files and folders that are not used, and why."""

    @property
    def files(self) -> list[Path]:
        return [file for several in self.pictures.values() for file in several]

    def label_of(self, file: Path) -> str:
        """The label of a picture: the folder in `images` that it lies in, however deep."""
        return file.relative_to(self.images).parts[0]


def find_pictures(images: Path) -> PictureFolders:
    """Find the pictures of each class in its folder and all folders inside it.

    What is a picture is told by its first bytes. Links, hidden files and what is no file are not followed.

    Raises:
        SetupError: there are fewer than two classes, a class has fewer than two pictures, or a name is no label.
    """
    if not images.is_dir():
        raise SetupError(f"there is no folder {images}: --images takes one with a folder of pictures for each class")
    pictures: dict[str, list[Path]] = {}
    left_out: dict[Path, str] = {}
    for place in sorted(images.iterdir()):
        if (reason := _why_no_class(place)) is not None:
            left_out[place] = reason
            continue
        files = list(files_in(place))
        pictures[place.name] = [file for file, why in files if why is None]
        left_out |= {file: why for file, why in files if why is not None}
    found = PictureFolders(images, pictures, left_out)
    _check(found)
    return found


def _why_no_class(place: Path) -> str | None:
    if place.name.startswith("."):
        return HIDDEN
    if place.is_symlink():
        return "a link, which is not followed"
    return None if place.is_dir() else "in no class's folder"


def _check(found: PictureFolders) -> None:
    if len(found.pictures) < LEAST:
        needed = "two classes or more are needed, a folder for each"
        raise SetupError(f"{found.images} has {len(found.pictures)} folders: {needed}")
    for label in found.pictures:
        if not label.isprintable():
            raise SetupError(f"{found.images / label!r} is not a valid label: it must be one line of text")
    check_enough(found)


def check_enough(found: PictureFolders) -> None:
    """Raise SetupError for a class with fewer pictures than are needed, with what of it was left out."""
    for label, files in found.pictures.items():
        if len(files) < LEAST:
            folder = found.images / label
            reasons = dict.fromkeys(why for file, why in found.left_out.items() if folder in file.parents)
            others = f"; left out there: {'; '.join(list(reasons)[:3])}" if reasons else ""
            needed = f"at least {LEAST} are needed, to train on and to hold out"
            raise SetupError(f"{folder} has {len(files)} pictures: {needed}{others}")


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
