"""How much memory this process may still take: what its control groups allow, less what is in use; and giving it back.

Version 2 says a limit in each group of the hierarchy (`memory.max`, `memory.high`), version 1 the least of them in
`memory.stat`. Within a container the hierarchy begins at its own group, whatever the path is called outside.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FILE_CACHE = ("active_file", "inactive_file", "total_active_file", "total_inactive_file")
"""Memory that the kernel takes back before it kills anything."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's parameters: free memory that is kept at most, and the size from which a block goes back as soon as it is
free."""
_UNLIMITED = 1 << 60
"""Version 1 says more than this where it has no limit."""


class MemoryLimit(NamedTuple):
    """The tightest limit on this process's memory."""

    limit_bytes: int
    used_bytes: int
    """By all processes under the same limit, without what only caches files."""


def read_memory(root: Path = Path("/")) -> MemoryLimit | None:
    """Return the limit that leaves the least room; None where there is none, or it cannot be read.

    What is read lies in `proc` and `sys/fs/cgroup` below the root.
    """
    found = [memory for folder in _folders(root) if (memory := _memory(folder)) is not None]
    return min(found, key=lambda memory: memory.limit_bytes - memory.used_bytes, default=None)


def give_large_blocks_back(large_bytes: int = 4 << 20, kept_free_bytes: int | None = None) -> None:
    """Have large blocks of memory returned to the system when they are freed. Else glibc keeps those of up to 32 MB as
    soon as one has been freed, and a process stays as large as its largest bodies and pictures made it.

    How much free memory is kept at most is glibc's choice if not given.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, large_bytes)
        if kept_free_bytes is not None:
            library.mallopt(_TRIM_THRESHOLD, kept_free_bytes)


def _folders(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups that know of memory, and those above them."""
    mounted = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mounted / "memory" if controllers else mounted
        folder = top / path.strip("/")
        while folder.is_relative_to(top):
            yield folder
            if folder == top:
                break
            folder = folder.parent


def _memory(folder: Path) -> MemoryLimit | None:
    fields = (line.split() for line in _text(folder / "memory.stat").splitlines())
    stat = {field[0]: int(field[1]) for field in fields if len(field) == 2 and field[1].isdigit()}
    version_2 = [_number(folder / name) for name in ("memory.max", "memory.high")]
    version_1 = stat.get("hierarchical_memory_limit")
    limits = [limit for limit in (*version_2, version_1) if limit is not None]
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
    if not limits or used is None or min(limits) >= _UNLIMITED:
        return None
    names = [name for name in _FILE_CACHE if name.startswith("total_") == (version_1 is not None)]
    return MemoryLimit(min(limits), max(0, used - sum(stat.get(name, 0) for name in names)))


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
