"""A version that a command is about to write, claimed so that another run at the same time takes another."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from splitway.bundle import version_folders
from splitway.errors import BundleError


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
            _lock_of(folder / str(number)).unlink(missing_ok=True)
            os.close(held)
    finally:
        for empty in (folder, folder.parent):
            with suppress(OSError):  # not empty
                empty.rmdir()


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _claim(target: Path) -> int | None:
    """The open lock of a version that nothing has; None if it is there or claimed."""
    held = os.open(_lock_of(target), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(held).st_ino == _lock_of(target).stat().st_ino and not target.exists():
            return held
    if target.exists():  # beside which no lock is needed
        _lock_of(target).unlink(missing_ok=True)
    os.close(held)
    return None
