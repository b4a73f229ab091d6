"""`splitway train-head`: a folder of pictures per class becomes a head on the features of a running extractor."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitway.bundle import version_folders
from splitway.cli.console import Steps
from splitway.cli.extract import Extracted, Hop, extract
from splitway.cli.names import check_head_name, check_version
from splitway.cli.places import GATEWAY, RUN_FILE
from splitway.cli.run_file import read_run
from splitway.errors import BundleError, SetupError
from splitway.manifest import EXTRACTOR, HEAD


@dataclass(frozen=True)
class HeadJob:
    """What to train on, and where the head goes."""

    images: Path
    name: str
    models: Path
    version: str | None = None
    """The next free one if not given."""
    extractor: str | None = None
    """Address; that of the local pipeline if not given."""
    bodies: tuple[str, ...] = ()
    """`NAME=ADDRESS` of the stages between extractor and head, in order, beside an extractor's address."""
    held_out: float = 0.2
    seed: int = 1
    skip_bad: bool = False
    confusion: Path | None = None


@dataclass(frozen=True)
class Lesson:
    """What a head is trained on, and where it goes."""

    job: HeadJob
    target: Path
    extracted: Extracted
    labels: tuple[str, ...]

    @property
    def classes(self) -> NDArray[np.int64]:
        """The number of each row's class: its picture's folder."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers[file.parent.name] for file in self.extracted.files], np.int64)


def prepare(job: HeadJob, steps: Steps) -> Lesson:
    """Check what was asked for, and get the features of every picture. Writes nothing.

    Raises:
        SetupError: the pictures, the name or the extractor are not what is needed.
        BundleError: the version is there already.
    """
    check_head_name(job.name)
    target = _target(job)
    pictures = find_pictures(job.images)
    files = [file for several in pictures.values() for file in several]
    steps.say(f"extracting the features of {len(files)} pictures of {len(pictures)} classes")
    extracted = extract(find_hops(job), files, steps)
    _check_unread(job, pictures, extracted.unread, steps)
    return Lesson(job, target, extracted, tuple(pictures))


def _target(job: HeadJob) -> Path:
    folder = job.models / job.name
    there = version_folders(folder)
    version = job.version or str(int(there[0].name) + 1 if there else 1)
    check_version(version)
    if (folder / version).exists():
        raise BundleError(f"{folder / version} is there already; leave --version out for the next free one")
    return folder / version


def find_pictures(images: Path) -> dict[str, list[Path]]:
    """Return the pictures of each class: a folder for each, named as its label. Raises SetupError."""
    if not images.is_dir():
        raise SetupError(f"there is no folder {images}: --images takes one with a folder of pictures for each class")
    folders = sorted(path for path in images.iterdir() if path.is_dir() and not path.name.startswith("."))
    pictures = {folder.name: sorted(file for file in folder.iterdir() if _is_picture(file)) for folder in folders}
    if len(pictures) < 2:
        raise SetupError(f"{images} has {len(pictures)} folders: two classes or more are needed, a folder for each")
    for label in pictures:
        if not label.isprintable():
            raise SetupError(f"{images / label!r} is no label: it must be one line of text")
    _check_enough(images, {label: len(files) for label, files in pictures.items()})
    return pictures


def _is_picture(file: Path) -> bool:
    kind = mimetypes.guess_type(file.name)[0] or ""
    return kind.startswith("image/") and not file.name.startswith(".")


def _check_enough(images: Path, counts: Mapping[str, int]) -> None:
    for label, number in counts.items():
        if number < 2:
            raise SetupError(
                f"{images / label} has {number} pictures: at least 2 are needed, to train on and to hold out"
            )


def find_hops(job: HeadJob) -> list[Hop]:
    """The stages that lead to the features: as named, or those of the pipeline that runs here. Raises SetupError."""
    if job.extractor is not None:
        pairs = [body.partition("=") for body in job.bodies]
        for name, _, url in pairs:
            _check_url(url, f"--body takes NAME=ADDRESS such as body_1=http://127.0.0.1:8101, not {name!r}")
        _check_url(job.extractor, f"--extractor takes an address such as http://127.0.0.1:8081, not {job.extractor!r}")
        return [Hop(EXTRACTOR, job.extractor), *(Hop(name, url) for name, _, url in pairs)]
    if job.bodies:
        raise SetupError("--body goes with --extractor")
    run = read_run()
    if run is None:
        raise SetupError(
            f"no pipeline runs from this folder ({RUN_FILE} says of none): start one with splitway up, or name an "
            "extractor with --extractor"
        )
    hops: dict[str, Hop] = {}
    for place in run.places:
        if place.stage in (GATEWAY, HEAD) or place.stage in hops:
            continue
        if (doubt := run.why_not(place)) is not None:
            raise SetupError(
                f"{place.stage} at {place.url} is not asked, for {doubt}; start splitway up, or name --extractor"
            )
        hops[place.stage] = Hop(place.stage, place.url)
    return list(hops.values())


def _check_url(url: str, otherwise: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise SetupError(otherwise)


def _check_unread(
    job: HeadJob, pictures: Mapping[str, Sequence[Path]], unread: Mapping[Path, str], steps: Steps
) -> None:
    """Raise SetupError for pictures that could not be read, or if without them too few of a class are left."""
    if not unread:
        return
    file, reason = next(iter(unread.items()))
    others = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
    if not job.skip_bad:
        raise SetupError(f"{file}{others} cannot be used: {reason}; --skip-bad goes on without")
    steps.say(f"skipped {len(unread)} pictures that cannot be used: {file}{others}")
    _check_enough(job.images, {label: sum(f not in unread for f in files) for label, files in pictures.items()})
