"""Pictures as files. A pipe may never end, and a device never does: neither is read, whatever its name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

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
