"""The file that `splitway up` writes while it runs, and whether it can be trusted.

A user who can write this file can name any address. So secrets are sent only if the file is the user's own, in a folder
that no other user can write (`why_not`), and only while the named processes are the ones that `splitway up` started.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from splitway.errors import SetupError, printable
from splitway.local.places import RUN_FILE, Place, process_name
from splitway.names import GATEWAY
from splitway.security.own_files import OTHERS_WRITE, Users, doubt_of_link, own_users, read_own
from splitway.state_file import replace_file

LAUNCHER = "up"
"""The name of `splitway up` itself, in a run file and before its own lines in a log."""
_MOST_BYTES = 1 << 20
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


@dataclass(frozen=True)
class Launcher:
    """The process of `splitway up` itself, and what it says of its pipeline."""

    process: Place
    since: str = ""
    """When it began to start the pipeline, as ISO 8601."""
    log: Path | None = None
    """The file of its log; None where it writes to where it was started."""
    certificate: Path | None = None
    """The file of the certificate that the gateway shows its callers; None without TLS."""
    restarts: bool = False
    """Whether it starts what has ended again."""
    models: Path | None = None
    """The folder of the bundles."""

    @classmethod
    def of_this_process(cls, models: Path, log: Path | None, certificate: Path | None, *, restarts: bool) -> Launcher:
        """This process, which begins now. Its files are named so that they are found from every folder."""
        process = Place.of(LAUNCHER, "", os.getpid())
        since = datetime.now(UTC).isoformat(timespec="seconds")
        log, certificate = (None if each is None else each.resolve() for each in (log, certificate))
        return cls(process, since, log, certificate, restarts, models.resolve())

    def to_json(self) -> dict[str, object]:
        """As it stands in a run file."""
        files = {"log": self.log, "certificate": self.certificate, "models": self.models}
        named = {name: str(path) for name, path in files.items() if path is not None}
        return {**_entry(self.process), "since": self.since, "restarts": self.restarts, **named}


@dataclass(frozen=True)
class RunFile:
    """What a run file says: processes, and why they are not trusted; None if they are."""

    places: Sequence[Place]
    doubt: str | None = None
    launcher: Launcher | None = None
    """None where an older version wrote the file."""

    @property
    def gateway(self) -> Place:
        return next(place for place in self.places if place.stage == GATEWAY)

    @property
    def by_name(self) -> dict[str, Place]:
        """The processes of gateway and stages, by name."""
        counted: Counter[str] = Counter()
        named = {}
        for place in self.places:
            counted[place.stage] += 1
            named[process_name(place.stage, counted[place.stage])] = place
        return named

    @property
    def is_running(self) -> bool:
        """Whether a process of it runs, or what would start it again."""
        launcher = [] if self.launcher is None else [self.launcher.process]
        return any(process.is_alive for process in (*launcher, *self.places))

    @property
    def starts_again(self) -> bool:
        """Whether what has ended is started again."""
        return self.launcher is not None and self.launcher.restarts and self.launcher.process.is_alive

    def why_not(self, place: Place) -> str | None:
        """Why a process must not get secrets; None if it may."""
        return self.doubt or place.doubt


def read_run(path: Path = RUN_FILE, trusted: Users | None = None) -> RunFile | None:
    """The content of the run file; None if there is no such file. Raises SetupError if it cannot be read.

    The files of trusted users are believed: of this one and the superuser if not given.
    """
    try:
        content, doubt = read_own(path, _MOST_BYTES, trusted)
        run = json.loads(content)
        return RunFile(_places(run), doubt, _launcher(run))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SetupError(f"{path} cannot be read as what splitway up writes: remove it") from error


def write_run_file(path: Path, places: Sequence[Place], launcher: Launcher | None = None) -> None:
    """Say where a pipeline runs: the gateway alone, every other stage's processes in a list. Raises SetupError."""
    stages: dict[str, list[object]] = {}
    for place in places:
        stages.setdefault(place.stage, []).append({"url": place.url, **_entry(place)})
    entries = {stage: found[0] if stage == GATEWAY else found for stage, found in stages.items()}
    if launcher is not None:
        entries[LAUNCHER] = launcher.to_json()
    replace_file(path, json.dumps(entries, indent=2) + "\n", _FILE_MODE)


def _entry(place: Place) -> dict[str, object]:
    more = {"started": place.started, "restarted": place.restarts or None}
    return {"pid": place.pid, **{name: value for name, value in more.items() if value is not None}}


def make_run_folder(folder: Path, trusted: Users | None = None) -> None:
    """Make the folder of a run file. If it exists and is the user's own, remove other users' right to write it.

    Raises SetupError if it is another user's, or their link, or cannot be made.
    """
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if (doubt := doubt_of_link(folder, trusted)) is not None:
            raise SetupError(f"{doubt}: remove it, or start splitway up in another folder")
        found = folder.stat()
        if found.st_uid not in (own_users() if trusted is None else trusted):
            raise SetupError(f"{folder} belongs to user {found.st_uid}: start splitway up in another folder")
        if found.st_uid == os.geteuid() and found.st_mode & OTHERS_WRITE:
            folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS_WRITE)
    except OSError as error:
        raise SetupError(f"cannot write {folder}: {error.strerror}") from error


def _places(run: dict[str, Any]) -> list[Place]:
    """Raises ValueError, KeyError, TypeError, AttributeError for what `splitway up` does not write."""
    gateway = run[GATEWAY]
    stages = {stage: several for stage, several in run.items() if isinstance(several, list)}  # else of a newer one
    entries = [(GATEWAY, gateway), *((stage, entry) for stage, several in stages.items() for entry in several)]
    return [_place(stage, str(entry["url"]), entry) for stage, entry in entries]


def _launcher(run: dict[str, Any]) -> Launcher | None:
    """Raises as `_places`."""
    said = run.get(LAUNCHER)
    if said is None:
        return None
    since, *files = (str(said.get(name) or "") for name in ("since", "log", "certificate", "models"))
    _check_printable("".join((since, *files)))
    log, certificate, models = (Path(name) if name else None for name in files)
    return Launcher(_place(LAUNCHER, "", said), since, log, certificate, said.get("restarts") is True, models)


def _place(stage: str, url: str, entry: dict[str, Any]) -> Place:
    started = entry.get("started")
    place = Place(
        stage, url, int(entry["pid"]), None if started is None else int(started), int(entry.get("restarted", 0))
    )
    _check_printable(f"{place.stage}{place.url}")
    if place.pid < 1:
        raise ValueError
    return place


def _check_printable(text: str) -> None:
    if printable(text) != text:
        raise ValueError
