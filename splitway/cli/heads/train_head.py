"""`splitway train-head`: a folder of pictures per class becomes a head on the features of a running extractor.

Here are its examples, and the version that is about to be written, claimed so that another run takes another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from splitway.api.picture_files import HIDDEN
from splitway.api.picture_folders import PictureFolders, check_enough, find_pictures
from splitway.bundle import version_folders
from splitway.bundle_graph import find_chain
from splitway.cli.console import ERR, Steps
from splitway.cli.heads.extract import Extracted, Hop, extract, extract_in_process
from splitway.cli.heads.listing import print_found, print_left_out
from splitway.errors import BundleError, SetupError
from splitway.local.places import RUN_FILE
from splitway.local.run_file import RunFile, read_run
from splitway.local.runs import find_run
from splitway.names import DEFAULT_HEAD, EXTRACTOR, GATEWAY
from splitway.state_file import hold, let_go

_ADDRESS = re.compile("https?://")


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
    strict: bool = False
    """Whether a picture that cannot be read ends the command."""
    confusion: Path | None = None
    unsure_below: float | None = None
    pipeline: str | None = None
    """Name of the pipeline in this folder whose extractor is asked, where several run."""
    in_process: bool = False
    """Whether the extractor among `models` is run here, and none is asked."""


@dataclass(frozen=True)
class Lesson:
    """What a head is trained on, and where it goes."""

    job: HeadJob
    target: Path
    extracted: Extracted
    folders: PictureFolders

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.folders.pictures)

    @property
    def classes(self) -> NDArray[np.int64]:
        """The number of each row's class: its picture's folder."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers[self.folders.label_of(file)] for file in self.extracted.files], np.int64)


def prepare(job: HeadJob, target: Path, steps: Steps) -> Lesson:
    """Check what was asked for, and get the features of every picture for a head at `target`. Writes nothing.

    Raises:
        SetupError: the pictures or the extractor are not what is needed.
    """
    found = find_pictures(job.images)
    if job.strict:
        _refuse({path: why for path, why in found.left_out.items() if why != HIDDEN})
    print_found(found, ERR)
    steps.say(f"extracting the features of {len(found.files)} pictures of {len(found.pictures)} classes")
    if job.in_process:
        extracted = extract_in_process(find_chain(job.models), found.files, steps)
    else:
        extracted = extract(find_hops(job), found.files, steps)
    _check_unread(job, found, extracted.unread)
    return Lesson(job, target, extracted, found)


def find_hops(job: HeadJob) -> list[Hop]:
    """The stages that lead to the features: as named, or those of the pipeline that runs here. Raises SetupError."""
    if job.extractor is not None:
        pairs = [body.partition("=") for body in job.bodies]
        for name, _, url in pairs:
            if not _ADDRESS.match(url):
                raise SetupError(f"--body takes NAME=ADDRESS such as body_1=http://127.0.0.1:8101, not {name!r}")
        if not _ADDRESS.match(job.extractor):
            raise SetupError(f"--extractor takes an address such as http://127.0.0.1:8081, not {job.extractor!r}")
        return [Hop(EXTRACTOR, job.extractor), *(Hop(name, url) for name, _, url in pairs)]
    run = _run(job.pipeline)
    if run is None:
        do = "start one with splitway up, name an extractor with --extractor, or add --in-process"
        raise SetupError(f"no pipeline runs from this folder ({RUN_FILE} says of none): {do}")
    hops: dict[str, Hop] = {}
    for place in run.places:
        if place.stage in (GATEWAY, DEFAULT_HEAD) or place.stage in hops:
            continue
        if (doubt := run.why_not(place)) is not None:
            do = "start splitway up, or name --extractor"
            raise SetupError(f"{place.stage} at {place.url} is not asked, for {doubt}; {do}")
        hops[place.stage] = Hop(place.stage, place.url)
    return list(hops.values())


def _run(pipeline: str | None) -> RunFile | None:
    found = find_run(pipeline, option="--pipeline")
    return found[1] if found is not None else read_run()


def _refuse(unused: Mapping[Path, str]) -> None:
    if unused:
        file, reason = next(iter(unused.items()))
        others = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
        raise SetupError(f"{file}{others} cannot be used: {reason}; without --strict they are left out")


def _check_unread(job: HeadJob, found: PictureFolders, unread: Mapping[Path, str]) -> None:
    """Name the pictures that could not be read. Raises SetupError if too few are left, or none may be missing."""
    if not unread:
        return
    if job.strict:
        _refuse(unread)
    print_left_out(unread, ERR)
    read = {label: [file for file in files if file not in unread] for label, files in found.pictures.items()}
    check_enough(PictureFolders(found.images, read, {**found.left_out, **unread}))


def check_keeps_default_head(folder: Path) -> None:
    """Raise SetupError if a new version in a head's folder would answer every request that names no head."""
    if folder.name == DEFAULT_HEAD and (there := version_folders(folder)):
        says = f"{there[0]} is the default head, which answers requests that name none: a new version would replace it"
        raise SetupError(f"{says}; choose another --name, or add --force")


@contextmanager
def claimed(folder: Path, version: str | None) -> Iterator[Path]:
    """Give the place of a new version in a bundle's folder: this one, or the next that is free.

    The claim ends with the process that made it, however that ends.

    Raises:
        BundleError: the version is there already, or another run is making it.
    """
    there = version_folders(folder)
    number = int(version or (int(there[0].name) + 1 if there else 1))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        while (held := _claim(folder / str(number))) is None:
            if version is not None:
                state = "there already" if (folder / version).exists() else "being made by another run"
                raise BundleError(f"{folder / version} is {state}; leave --version out for the next free one")
            number += 1
        try:
            yield folder / str(number)
        finally:
            let_go(_lock_of(folder / str(number)), held)
    finally:
        for empty in (folder, folder.parent):
            with suppress(OSError):  # not empty
                empty.rmdir()


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _claim(target: Path) -> int | None:
    """The open lock of a version that nothing has; None if it is there or claimed."""
    held = hold(_lock_of(target))
    if held is not None and target.exists():  # beside which no lock is needed
        let_go(_lock_of(target), held)
        return None
    return held
