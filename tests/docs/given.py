"""What the pages let a reader bring: small real models and pictures, made by the tutorial's own scripts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.docs.blocks import PageError, blocks_of
from tests.docs.shell import Shell

TUTORIAL = Path("docs/tutorial.md")


def bring(name: str, shell: Shell) -> None:
    """Make one thing in the reader's folder, where it is not there yet. Raises PageError for an unknown one."""
    if name not in MAKERS:
        raise PageError(f"{name!r} is given, and tests/docs/given.py makes only {', '.join(MAKERS)}")
    if not (shell.folder / name).exists():
        MAKERS[name](shell)


def _tutorial(shell: Shell) -> Path:
    """The folder in which the tutorial's scripts have made their pictures and their model."""
    place = shell.folder / ".tools" / "tutorial"
    if not place.exists():
        place.mkdir(parents=True)
        for block in blocks_of((shell.folder / TUTORIAL).read_text(encoding="utf-8")):
            if block.file is not None and block.file.endswith(".py"):
                (place / block.file).write_text(block.text, encoding="utf-8")
                shell.run(f"cd {place} && {shell.folder}/.venv/bin/python {block.file} && cd {shell.folder}")
    return place


def _model(shell: Shell) -> None:
    for name in ("flowers.keras", "flowers.txt"):
        shutil.copy(_tutorial(shell) / name, shell.folder)


def _pets(shell: Shell) -> None:
    shutil.copytree(_tutorial(shell) / "pictures", shell.folder / "pets")


def _photos(shell: Shell) -> None:
    shutil.copytree(_tutorial(shell) / "unseen", shell.folder / "photos")


def _bundles(shell: Shell) -> None:
    place = _tutorial(shell)
    labels = f"--labels {place}/flowers.txt"
    shell.run(f"{shell.folder}/.venv/bin/splitway split {place}/flowers.keras {labels} --out {shell.folder}/flowers")


MAKERS: dict[str, Callable[[Shell], None]] = {
    "flowers.keras": _model,
    "flowers.txt": _model,
    "flowers/": _bundles,
    "pets/": _pets,
    "photos/": _photos,
}
