"""Shortage of this process's own resources, which says nothing about the called service."""

from __future__ import annotations

import errno

_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
"""Files, buffers, memory and ports."""


def is_own_shortage(error: BaseException | None) -> bool:
    """Whether an error, or what it came of, is that of a process or machine that has no means for a connection."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # causes may go round in a circle
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _OWN:
            return True
        error = error.__cause__ or error.__context__
    return False
