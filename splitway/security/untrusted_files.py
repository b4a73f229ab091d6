"""Untrusted files in a folder: read without following links, waiting or filling memory."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from splitway.errors import BundleError

MAX_PATH = 240
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_BLOCK = 1024 * 1024


def stays_inside(path: str) -> bool:
    """Whether a relative path, written with slashes, names something below its folder, and says it in one way only."""
    if not path or len(path) > MAX_PATH or _CONTROL.search(path):
        return False
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and PurePosixPath(path).as_posix() == path


def read_inside(folder: Path, path: str, max_bytes: int) -> bytes:
    """Return a regular file's bytes.

    Args:
        folder: where to begin; it may be a link itself.
        path: relative to it, with slashes. No part of it may be a link.
        max_bytes: the most that the file may hold.

    Raises:
        BundleError: it is missing, a link, no regular file, larger, or lies outside the folder.
        OSError: it cannot be read.
    """
    with _open_inside(folder, path) as (file, size):
        if size > max_bytes:
            raise BundleError(f"{folder / path} has {size} bytes; {max_bytes} are allowed")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise BundleError(f"{folder / path} grows while it is read")
    return content


def hash_inside(folder: Path, path: str, size: int) -> tuple[int, str]:
    """Return how large a regular file is and, where that is `size`, its SHA-256. Raises as read_inside does."""
    digest, left = hashlib.sha256(), size
    with _open_inside(folder, path) as (file, found):
        if found != size:
            return found, ""
        while block := file.read(min(_BLOCK, left)):
            digest.update(block)
            left -= len(block)
    return size - left, digest.hexdigest()


def walk_inside(folder: Path, below: str) -> Iterator[str]:
    """Every path below a folder's folder that is no folder itself, links included. Raises OSError."""
    if (folder / below).is_symlink():
        yield below
        return
    for place, folders, files in os.walk(folder / below):
        for name in [*files, *(each for each in folders if (Path(place) / each).is_symlink())]:
            yield (Path(place) / name).relative_to(folder).as_posix()


@contextmanager
def _open_inside(folder: Path, path: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file, and say its size: each part of the path relative to the one before it, so that none can become a
    link in between."""
    if not stays_inside(path):
        raise BundleError(f"{path[:MAX_PATH]!r} is outside {folder}")
    *folders, name = path.split("/")
    where = folder / path
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in folders:
                at = _step(at, part)
            # Without O_NONBLOCK opening a named pipe without a writer would block.
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        finally:
            os.close(at)
    except FileNotFoundError:
        raise BundleError(f"{where} is missing") from None
    except OSError as error:
        if _is_link(folder, path):
            raise BundleError(f"{where} is a link, or lies behind one: links are not followed") from None
        raise BundleError(f"{where} cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{where} is no regular file")
        with os.fdopen(number, "rb", closefd=False) as file:
            yield file, status.st_size
    finally:
        os.close(number)


def _step(at: int, part: str) -> int:
    try:
        return os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _is_link(folder: Path, path: str) -> bool:
    parts = path.split("/")
    return any((folder / "/".join(parts[: n + 1])).is_symlink() for n in range(len(parts)))
