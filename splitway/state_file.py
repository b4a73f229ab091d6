"""Small files that several processes read and change: replaced whole, and by one at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from splitway.errors import SetupError

PATIENCE_S, _LOCK_PAUSE_S = 2.0, 0.02
Signature = tuple[int, int, int]
"""What is another once a file has been written again."""


def signature(path: Path) -> Signature:
    """Of a file as it is now. Raises OSError."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def replace_file(path: Path, content: str | bytes, mode: int | None = None) -> None:
    """Replace a file in one step, so that a reader sees one state or the next. Text goes as UTF-8.

    Its permissions are set before anything is written; by default those of the old file. Raises SetupError.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        made = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if mode is None else mode)
        with os.fdopen(made, "wb") as file:
            if mode is None:
                with suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock beside a file, which every writer takes. Raises SetupError if it cannot be written, or is kept."""
    beside = path.with_name(f"{path.name}.lock")
    try:
        lock = os.fdopen(os.open(beside, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "w")
    except OSError as error:
        raise SetupError(f"cannot write {beside}: {error.strerror}") from error
    with lock:
        for _ in range(max(1, round(patience_s / _LOCK_PAUSE_S))):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel takes it back however the process ends
                break
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_S)
        else:
            raise SetupError(f"another process holds {beside}; try again, or end that process")
        yield


def hold(lock: Path) -> int | None:
    """Take a lock file for as long as this process lives, or until `let_go`; None if another has it. Raises OSError."""
    while True:
        held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(held).st_ino == lock.stat().st_ino:
                return held
        except BlockingIOError:
            os.close(held)
            return None
        except FileNotFoundError:
            pass
        os.close(held)  # the process that had it has removed the file meanwhile


def let_go(lock: Path, held: int) -> None:
    """Remove a lock file that `hold` took, and let others have it."""
    lock.unlink(missing_ok=True)
    os.close(held)
