"""Files that are believed because they are the user's own and no other user can write them, nor their folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Container
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
Users = Container[int]


def read_own(path: Path, max_bytes: int, trusted: Users | None = None) -> tuple[bytes, str | None]:
    """Return a regular file's bytes, and why they cannot be trusted; None if they can.

    Every check uses the opened file, because its name may point to another file by then. The files of trusted users
    are believed: of this one and the superuser if not given.

    Raises:
        OSError: it is missing, a link, or cannot be read.
        ValueError: it is no regular file, or larger.
    """
    users = own_users() if trusted is None else trusted
    doubts = [doubt_of_link(path.parent, users)]
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        doubts.append(_doubt_of(path.parent, os.fstat(folder), users))
        number = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    with os.fdopen(number, "rb") as file:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
            raise ValueError(f"{path} is no regular file of at most {max_bytes} bytes")
        doubts.append(_doubt_of(path, found, users))
        return file.read(max_bytes), next((doubt for doubt in doubts if doubt), None)


def doubt_of_link(folder: Path, trusted: Users | None = None) -> str | None:
    """Why a folder's path leads somewhere else, through a link of another user. Raises OSError."""
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) and found.st_uid not in (own_users() if trusted is None else trusted):
        return f"{folder} is a link that user {found.st_uid} made"
    return None


def own_users() -> Users:
    """The user and the superuser, who can do anything here anyway."""
    return os.geteuid(), 0


def _doubt_of(path: Path, found: os.stat_result, trusted: Users) -> str | None:
    if found.st_uid not in trusted:
        return f"{path} belongs to user {found.st_uid}"
    return f"{path} can be written by others: chmod go-w it" if found.st_mode & OTHERS_WRITE else None
