"""How many pictures are classified as the folders say that they lie in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from splitway.cli.ask.classify import PictureResult
from splitway.schemas.classify import HeadFailure


def as_folders_say(results: Sequence[PictureResult], given: Sequence[Path]) -> Iterator[str]:
    """Yield a line for each head that gives all the folders' names as labels; of a multi-label head none.

    Args:
        results: of all pictures.
        given: the folders that the user named, and files, which are passed over.
    """
    folders = [path for path in given if path.is_dir()]
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for result in results:
        folder = _folder_of(result.file, folders)
        for head, said in result.said:
            if folder and not isinstance(said, HeadFailure) and said.predictions and not said.multi_label:
                found.setdefault(head, []).append((folder, [each.label for each in said.predictions]))
    for head, pairs in found.items():
        if {folder for folder, _ in pairs} <= {label for _, labels in pairs for label in labels}:
            right = sum(folder == labels[0] for folder, labels in pairs)
            yield f"{head and f'{head}: '}{right} of {len(pairs)} as their folder says"


def _folder_of(file: Path, folders: Sequence[Path]) -> str | None:
    """The name of the class's folder that a picture lies in: one in a folder that was named, or that itself."""
    for folder in folders:
        if file.is_relative_to(folder):
            *inside, _ = file.relative_to(folder).parts
            return inside[0] if inside else folder.resolve().name
    return None
