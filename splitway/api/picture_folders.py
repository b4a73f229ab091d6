"""Pictures in folders, one for each class or all in one: what is in them, and what is left out of them and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from splitway.api.before import check_class_folders
from splitway.api.picture_files import HIDDEN, files_in
from splitway.errors import SetupError, many

LEAST = 2
"""Pictures of a class: one to train on and one to hold out."""
_LEAST_CLASSES = 2
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_OF_A_PROOF = 32
"""Pictures of a folder with classes that a proof is made on."""


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

    def evenly(self, most: int) -> list[Path]:
        """All pictures, or as many of each class that there are `most` at most, or one of each class."""
        share = max(1, most // len(self.pictures)) if len(self.files) > most else len(self.files)
        return [file for files in self.pictures.values() for file in files[:share]]


def find_pictures(images: Path, least: int = LEAST, option: str = "--images") -> PictureFolders:
    """Find the pictures of each class in its folder and all folders inside it.

    What is a picture is told by its first bytes. Links, hidden files and what is no file are not followed.

    Args:
        images: has a folder for each class.
        least: pictures that each class must have.
        option: what the folder was named with.

    Raises:
        SetupError: there are fewer than two classes, a class has too few pictures, or a name is no label.
    """
    check_class_folders(images, option)
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
    _check(found, least)
    return found


def _why_no_class(place: Path) -> str | None:
    if place.name.startswith("."):
        return HIDDEN
    if place.is_symlink():
        return "a link, which is not followed"
    return None if place.is_dir() else "in no class's folder"


def _check(found: PictureFolders, least: int) -> None:
    if len(found.pictures) < _LEAST_CLASSES:
        raise SetupError(_too_few_folders(found))
    for label in found.pictures:
        if not label.isprintable():
            raise SetupError(f"{found.images / label!r} is not a valid label: it must be one line of text")
    check_enough(found, least)


def _too_few_folders(found: PictureFolders) -> str:
    """What is said of a folder without two classes: which of those around it may be meant."""
    images, labels = found.images, list(found.pictures)
    pictures = [path for path, why in files_in(images) if why is None]
    if any(path.parent == images for path in pictures):
        above = images.resolve().parent
        return f"{images} holds {many(len(pictures), 'picture')} of one class: give the folder above, {above}"
    inside = [each for label in labels for each in (images / label).iterdir() if _why_no_class(each) is None]
    meant = f"; did you mean {images / labels[0]}?" if len(inside) >= _LEAST_CLASSES else ""
    return f"{images} has {many(len(labels), 'folder')} in it: two classes or more are needed, a folder for each{meant}"


def check_enough(found: PictureFolders, least: int = LEAST) -> None:
    """Raise SetupError for a class with fewer pictures than are needed, with what of it was left out."""
    for label, files in found.pictures.items():
        if len(files) < least:
            folder = found.images / label
            reasons = dict.fromkeys(why for file, why in found.left_out.items() if folder in file.parents)
            others = f"; left out there: {'; '.join(list(reasons)[:3])}" if reasons else ""
            needed = "one is needed" if least == 1 else f"at least {least} are needed, to train on and to hold out"
            raise SetupError(f"{folder} has {len(files)} pictures: {needed}{others}")


def class_folders(samples: Path) -> PictureFolders | None:
    """What is in a folder of samples with a folder for each class; None for one with pictures in it, or a file.

    Raises SetupError as `find_pictures` does.
    """
    if not samples.is_dir():
        return None
    entries = list(samples.iterdir())
    folders = [path for path in entries if path.is_dir() and not path.name.startswith((".", "_"))]
    if any(path.suffix.lower() in _SUFFIXES for path in entries) or len(folders) < 2:
        return None
    return find_pictures(samples, least=1, option="--samples")


def plain_pictures(folder: Path | None) -> Path | None:
    """A folder that the user did not name, unless it has a folder for each class: those need not be this model's."""
    return None if folder is None or class_folders(folder) is not None else folder


def pictures_of(samples: Path) -> list[Path]:
    """The pictures in a folder, to prove a cut on; a few of each class where it has a folder for each."""
    found = class_folders(samples)
    if found is not None:
        return found.evenly(_OF_A_PROOF)
    return sorted(path for path in samples.iterdir() if path.suffix.lower() in _SUFFIXES)
