"""The releases file as the gateway sees it: read when it changes, and its last good content while it is broken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from splitway.errors import SetupError
from splitway.releases import Event, Releases, Trial, change_releases, read_releases
from splitway.state_file import PATIENCE_S, Signature, signature

_log = logging.getLogger(__name__)
Now = Callable[[], datetime]


class ReleaseFile:
    """Blocks while it reads and writes: to be called in a thread.

    Args:
        path: where it lies.
        now: the time that is written into its history.
        patience_s: how long another process may keep the file's lock.
    """

    def __init__(self, path: Path, now: Now = lambda: datetime.now(UTC), patience_s: float = PATIENCE_S) -> None:
        self._path = path
        self._now = now
        self._patience_s = patience_s
        self._seen: Signature | None = None
        self._was_there = False
        self.releases = Releases()
        self.problem: str | None = None
        """What is wrong with the file as it is now."""

    def read(self) -> None:
        """Take in what has changed; a file that is broken, or gone again, is logged once and changes nothing."""
        try:
            found = signature(self._path)
            if found == self._seen:
                return
            releases = read_releases(self._path)
        except FileNotFoundError:
            releases = None
        except OSError as error:
            self._broken(f"cannot read {self._path}: {error.strerror}")
            return
        except SetupError as error:
            self._broken(error.detail, None if isinstance(error.__cause__, OSError) else found)
            return
        if releases is not None:
            self._seen, self.releases, self.problem, self._was_there = found, releases, None, True
        elif self._was_there:
            self._broken(f"{self._path} is gone")

    def _broken(self, problem: str, seen: Signature | None = None) -> None:
        """Note that the file is of no use. One that could not be read is read again, even if it comes back as it was.

        Args:
            seen: the signature of a file whose content is at fault.
        """
        if problem != self.problem:
            _log.error("%s; the last good state stays in force", problem)
        self.problem, self._seen = problem, seen

    def withdraw(self, trial: Trial, reason: str) -> None:
        """Write that a canary or shadow has ended, unless the file names another by now.

        Raises:
            SetupError: the file cannot be read or written.
        """
        releases = read_releases(self._path)
        if releases is None or trial not in (releases.canary, releases.shadow):
            return
        event = Event(at=self._now().isoformat(), event="rollback", release=trial.release, reason=reason)

        def end(found: Releases) -> Releases:
            ended = {name: None for name in ("canary", "shadow") if getattr(found, name) == trial}
            return found.model_copy(update=ended).noted(event) if ended else found

        change_releases(self._path, end, self._patience_s)
