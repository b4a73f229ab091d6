"""Pictures as files. A pipe may never end, and a device never does: neither is read, whatever its name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from splitway.kinds.image.look import CONVERT, foreign_kind, is_picture

HIDDEN = "hidden"
_HEAD = 2048
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_picture(path: Path) -> bytes:
    """Return a file's bytes; links are followed. Raises OSError, whose `strerror` says if it is no file."""
    _check(path, path.stat())  # first, for to open a device may do something already
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        _check(path, os.fstat(number))  # what was looked at may be another by now
        return file.read()


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))


def files_in(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Each file in a folder and in those inside it, sorted, with the reason why it is no picture to read, if so.

    What is a picture is told by its first bytes. Links, hidden files and what is no file are not followed.
    """
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        path = folder / entry.name
        if entry.name.startswith("."):
            yield path, HIDDEN
        elif entry.is_dir(follow_symlinks=False):
            yield from files_in(path)
        else:
            yield path, _why_no_picture(path)


def _why_no_picture(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return "a link, which is not followed"
        if not stat.S_ISREG(mode):
            return "a pipe, a device or a socket"
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if is_picture(head):
        return None
    if not head:
        return "empty"
    kind = foreign_kind(head) or ""
    return f"a picture in {kind}" if kind.endswith(CONVERT) else "no picture"
