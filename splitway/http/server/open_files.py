"""How many files a process may have open: connections are files, and so is everything else that it needs."""

from __future__ import annotations

import resource
from contextlib import suppress

_MOST = 65_536
"""More is of no use, and some programs walk through all of them."""
_MOST_KEPT = 1024


def raise_limit() -> int:
    """Raise the process's soft limit as far as it may be raised and is of use; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else soft


def kept_back(files: int) -> int:
    """How many of them are not for callers: half, or 1,024, for connections to stages, bundles and logs."""
    return min(files // 2, _MOST_KEPT)
