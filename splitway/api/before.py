"""What can be said of a command before anything is loaded: neither Keras nor TensorFlow nor numpy is imported here.

A check refuses only what would fail later too. What it cannot tell, it lets pass.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitway.api.given import check_head_name, check_version
from splitway.api.wanted import Ending, check_count
from splitway.errors import BundleError, ModelError, SetupError, printable
from splitway.names import DEFAULT_HEAD, stage_names
from splitway.no_bundles import has_bundles, no_bundles
from splitway.splitter.readers.description import (
    KERAS,
    classes_of,
    has_optimizer,
    kind_of,
    layer_names,
    no_layer,
    read_description,
)
from splitway.splitter.readers.file_kinds import in_place_of_saved_model

_MANIFEST, _MOST_MANIFEST = "stage.json", 1 << 20
_MOST_HASHED = 256 << 20
"""Bytes of a model file that is hashed, to tell whether bundles are of it: a tenth of a second."""
_ENGINES = 2
"""Each bundle has its weights once for LiteRT and once for TensorFlow."""
_WITH_OPTIMIZER = 3
"""A compiled model's file may hold two numbers of an optimizer for each weight."""
_MB = 1_000_000


@dataclass(frozen=True)
class SplitPlan:
    """What is known of a split before its model is loaded."""

    model: Any
    """A path; anything else is a model in memory, of which nothing is told here."""
    out: Path
    at: Sequence[str] = ()
    labels: Path | Sequence[str] | None = None
    samples: Path | None = None
    version: str = "1"
    head: str = DEFAULT_HEAD
    force: bool = False
    allow_legacy: bool = False
    ending: Ending | None = None

    @property
    def targets(self) -> list[Path]:
        """The folders of the bundles."""
        return [self.out / name / self.version for name in stage_names(len(self.at) + 1 if self.at else 2, self.head)]


def check_split(plan: SplitPlan) -> None:
    """Check a split. Raises ModelError, BundleError, SetupError."""
    check_version(plan.version)
    check_head_name(plan.head)
    labels = read_labels(plan.labels)
    check_samples(plan.samples)
    description = check_model(plan.model, allow_legacy=plan.allow_legacy)
    if description is not None:
        _check_layers(plan.at, description)
        if plan.ending != "raw":  # with which labels are not kept
            check_count(labels, classes_of(description))
    model = plan.model if isinstance(plan.model, Path) else None
    if not plan.force:
        refuse_taken(plan.targets, getattr(plan.model, "name", "model") if model is None else model.stem, model)
    check_out(plan.out)
    if model is not None:
        _check_room(plan.out, model, description)


def check_build(out: Path, samples: Path | None, version: str) -> None:
    """Check a build of the default bundles. Raises BundleError, SetupError."""
    check_version(version)
    check_samples(samples)
    check_out(out)


def check_train_head(images: Path, name: str, version: str | None) -> None:
    """Check the training of a head. Raises SetupError."""
    check_head_name(name)
    if version is not None:
        check_version(version)
    check_class_folders(images)


def check_class_folders(images: Path, option: str = "--images") -> None:
    """Raise SetupError where there is no folder; `option` is what it was named with."""
    if not images.is_dir():
        raise SetupError(f"there is no folder {images}: {option} takes one with a folder of pictures for each class")


def check_files(files: Iterable[Path]) -> None:
    """Raise SetupError for a file that is not there."""
    for file in files:
        if not file.is_file():
            raise SetupError(f"there is no file {file}")


def check_verify(models: Path, samples: Path | None) -> None:
    """Check a proof that is to be repeated. Raises BundleError, SetupError."""
    check_samples(samples)
    check_bundles(models)


def check_bundles(models: Path) -> None:
    """Raise BundleError for a folder without a bundle, SetupError for one that cannot be read."""
    try:
        there = has_bundles(models)
    except FileNotFoundError:
        there = False
    except OSError as error:
        raise SetupError(f"{models} cannot be read: {error.strerror}") from error
    if not there:
        raise no_bundles(models)


def check_model(model: Any, *, allow_legacy: bool) -> Any:
    """Check that a path leads to a model; return what it says of itself, where it is a `.keras` file.

    Raises ModelError.
    """
    if not isinstance(model, Path):
        return None
    if model.is_dir():
        if not (model / "saved_model.pb").is_file():
            raise ModelError(f"{model} cannot be loaded: {in_place_of_saved_model(model)}")
        return None
    if not model.is_file():
        raise ModelError(f"there is no file {model}")
    kind = kind_of(model, allow_legacy=allow_legacy)
    return read_description(model, kind) if kind == KERAS else None


def _check_layers(at: Sequence[str], description: Any) -> None:
    known = layer_names(description)
    for name in at if known is not None else ():
        if known and name not in known and name.rpartition("/")[2] not in known:
            raise no_layer(name, {each: each for each in known}, known)


def read_labels(path: Path | Sequence[str] | None) -> list[str] | None:
    """Return the lines of a text file: UTF-8, or UTF-16 with a byte order mark, which is no part of the first label.

    What is no file is labels already. Empty lines at a file's end are left out.

    Raises SetupError for one that cannot be read, or is in another encoding, or an empty label.
    """
    if path is None:
        return None
    labels = _lines(path) if isinstance(path, Path) else [str(label) for label in path]
    for number, label in enumerate(labels, 1):
        if not label.strip() or len(label.splitlines()) > 1:
            what = f"line {number} of the labels {path}" if isinstance(path, Path) else f"label {number}, {label!r},"
            raise SetupError(f"{what} is not one line of text: each class needs a label of its own")
    return labels


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if marked else "utf-8-sig").rstrip("\r\n").splitlines()
    except OSError as error:
        listed = "; --labels takes a file with a label a line, not the labels" if "," in path.name else ""
        raise SetupError(f"cannot read the labels {path}: {error.strerror or error}{listed}") from error
    except UnicodeDecodeError as error:
        raise SetupError(
            f"the labels {path} are not text in UTF-8, from byte {error.start} on: save them as UTF-8"
        ) from error


def check_samples(samples: Path | None) -> None:
    """Raise BundleError where there are no samples, SetupError where they cannot be read."""
    if samples is None:
        return
    if not samples.exists():
        raise BundleError(f"there is no folder of samples at {samples}, and no file")
    if not os.access(samples, os.R_OK):
        raise SetupError(f"cannot read the samples {samples}: Permission denied")


def refuse_taken(targets: Collection[Path], name: str, model: Path | None = None) -> None:
    """Raise BundleError where there is a bundle, and say of which model.

    Args:
        targets: the folders to be written.
        name: what the new model is called.
        model: its file, if it has one.
    """
    for target in targets:
        if not target.exists():
            continue
        another = f"--version {_next_version(targets)}"
        maker, sha256, created = _made_of(target)
        if maker is None or (maker == name and _hash_of(model) in (None, sha256)):
            when = f" (made of {name} at {created})" if created else ""
            raise BundleError(f"{target} is there already; use --force to replace it, or {another} for another{when}")
        out = target.parent.parent
        elsewhere = out.with_name(name if out.name != name else f"{name}_2")
        raise BundleError(
            f"{target} is there already, made of another model: {maker}, SHA-256 {sha256[:12]}..., at {created}; give "
            f"{name} a folder of its own with --out {elsewhere}, or use --force to replace it, or {another} for a next "
            "version of the same stages"
        )


def _next_version(targets: Iterable[Path]) -> int:
    """The first number that is free in the folders of these bundles."""
    folders = [target.parent for target in targets if target.parent.is_dir()]
    numbers = [int(path.name) for folder in folders for path in folder.iterdir() if path.name.isdecimal()]
    return max(numbers, default=0) + 1


def _made_of(target: Path) -> tuple[str | None, str, str]:
    """The name and the hash of the model that a bundle was made of, and when; None where it does not say."""
    try:
        with (target / _MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(_MOST_MANIFEST))
        source = manifest["source_model"]
        name, sha256, created = (str(each) for each in (source["name"], source["sha256"], manifest["created"]))
        return printable(name[:80], keep=""), printable(sha256[:64], keep=""), printable(created[:40], keep="")
    except (OSError, ValueError, KeyError, TypeError):
        return None, "", ""


def _hash_of(model: Path | None) -> str | None:
    """The SHA-256 of a model's file; None of a folder, and of a file that would take long."""
    if model is None or not model.is_file() or model.stat().st_size > _MOST_HASHED:
        return None
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_out(out: Path) -> None:
    """Raise SetupError where a folder cannot be written, or cannot be made."""
    place = _nearest(out)
    if not place.is_dir():
        raise SetupError(f"cannot write {out}: {place} is no folder (Not a directory)")
    if not os.access(place, os.W_OK | os.X_OK):
        raise SetupError(f"cannot write {out}: Permission denied in {place}")


def _nearest(path: Path) -> Path:
    """The path itself, or of what is above it the nearest that is there."""
    return next((each for each in (path, *path.absolute().parents) if os.path.lexists(each)), Path("/"))


def _check_room(out: Path, model: Path, description: Any) -> None:
    """Raise SetupError where the disk has less room than a copy of the model and the least weights of its bundles."""
    size = _size(model / "variables" if model.is_dir() else model)
    copy = _size(model)
    weights = size // _WITH_OPTIMIZER if description is None or has_optimizer(description) else size
    needed, disk = copy + _ENGINES * weights, shutil.disk_usage(_nearest(out))
    if disk.total and disk.free < needed:  # some file systems of a network don't say how large they are
        raise SetupError(
            f"there is no room for the bundles: splitting {model} needs at least {needed / _MB:.0f} MB in {out} "
            f"({copy / _MB:.0f} for a copy of the model, {_ENGINES} x {weights / _MB:.0f} for the weights), and "
            f"{disk.free / _MB:.0f} MB are free there; name a folder on another disk with --out"
        )


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
