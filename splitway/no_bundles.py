"""What to say of a folder without bundles: which one was meant, as far as what lies there and beside it tells."""

from __future__ import annotations

import difflib
from contextlib import suppress
from pathlib import Path

from splitway.errors import BundleError

_MANIFEST = "stage.json"


def has_bundles(models: Path) -> bool:
    """Whether there is any `<stage>/<version>/stage.json`. Raises OSError for a folder that cannot be read."""
    names = [path for path in models.iterdir() if path.is_dir()]
    return any((folder / _MANIFEST).is_file() for name in names for folder in name.iterdir())


def no_bundles(models: Path) -> BundleError:
    """The failure of a folder without a bundle."""
    return BundleError(advice(models) or f"there is no bundle in {models}")


def advice(models: Path) -> str | None:
    """What is wrong with a folder that is to hold bundles, and what to do; None for one that holds some."""
    if models.is_dir():
        return None if _holds(models) else _of_folder(models)
    if models.exists():
        return f"{models} is a file: name a folder with bundles"
    if near := _alike(models):
        return f"there is no folder {models}; did you mean {near}?"
    return f"there is no folder {models}: name one with bundles, which splitway split and splitway build make"


def makes(out: object) -> str:
    """What makes bundles in a folder."""
    return f"splitway split MODEL --out {out} makes those of your model, splitway build --out {out} the default ones"


def _of_folder(models: Path) -> str:
    if (models / _MANIFEST).is_file():
        return f"{models} is one bundle: give the folder of its stage's folder, {_above(_above(models))}"
    if any(models.glob(f"*/{_MANIFEST}")):
        return f"{models} is the folder of one stage: give the folder above, {_above(models)}"
    if inside := sorted({path.parents[2] for path in models.glob(f"*/*/*/{_MANIFEST}")}):
        return f"there is no bundle in {models}; did you mean {inside[0]}?"
    if any(models.iterdir()):  # which is something else, to which no bundles should be added
        return f"there is no bundle in {models}: name another folder; {makes('FOLDER')}"
    return f"there is no bundle in {models}; {makes(models)}"


def _above(folder: Path) -> Path:
    return folder.parent if folder.name not in ("", "..") else folder.resolve().parent


def _alike(models: Path) -> Path | None:
    """The folder with bundles whose name is most like this one, which is not there."""
    try:
        beside = {path.name: path for path in models.parent.iterdir() if path.is_dir() and _holds(path)}
    except OSError:
        return None
    near = difflib.get_close_matches(models.name, beside, n=1)
    return beside[near[0]] if near else None


def _holds(models: Path) -> bool:
    with suppress(OSError):
        return has_bundles(models)
    return False
