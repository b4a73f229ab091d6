"""The file that `splitway up` writes while it runs, and whether it can be trusted.

A user who can write this file can name any address. So secrets are sent only if the file is the user's own, in a folder
that no other user can write (`why_not`), and only while the named processes are the ones that `splitway up` started.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from splitway.errors import SetupError, printable
from splitway.local.places import GATEWAY_PORT, RUN_FILE, Place
from splitway.names import GATEWAY
from splitway.security.own_files import OTHERS_WRITE, Users, doubt_of_link, read_own
from splitway.state_file import replace_file

_MOST_BYTES = 1 << 20
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


@dataclass(frozen=True)
class RunFile:
    """What a run file says: processes, and why they are not trusted; None if they are."""

    places: Sequence[Place]
    doubt: str | None = None

    def why_not(self, place: Place) -> str | None:
        """Why a process must not get secrets; None if it may."""
        return self.doubt or place.doubt


@dataclass(frozen=True)
class LocalGateway:
    """The gateway that is asked where none is named, and why it must not get secrets; None if it may."""

    url: str
    doubt: str | None = None


def read_run(path: Path = RUN_FILE, trusted: Users | None = None) -> RunFile | None:
    """The content of the run file; None if there is no such file. Raises SetupError if it cannot be read.

    The files of trusted users are believed: of this one and the superuser if not given.
    """
    try:
        content, doubt = read_own(path, _MOST_BYTES, trusted)
        return RunFile(_places(json.loads(content)), doubt)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SetupError(f"{path} cannot be read as what splitway up writes: remove it") from error


def asked_gateway(url: str | None = None, path: Path = RUN_FILE) -> LocalGateway:
    """The named gateway, which is trusted; else the one that runs from this folder, or that at the default address."""
    if url is not None:
        return LocalGateway(url)
    with suppress(SetupError):
        run = read_run(path) or RunFile(())
        for place in run.places:
            if place.stage == GATEWAY and place.is_alive:
                return LocalGateway(place.url, run.why_not(place))
    return LocalGateway(f"http://127.0.0.1:{GATEWAY_PORT}")


def write_run_file(path: Path, places: Sequence[Place]) -> None:
    """Say where a pipeline runs: the gateway alone, every other stage's processes in a list. Raises SetupError."""
    stages: dict[str, list[object]] = {}
    for place in places:
        stages.setdefault(place.stage, []).append({"url": place.url, "pid": place.pid})
    entries = {stage: found[0] if stage == GATEWAY else found for stage, found in stages.items()}
    replace_file(path, json.dumps(entries, indent=2) + "\n", _FILE_MODE)


def make_run_folder(folder: Path, trusted: Users | None = None) -> None:
    """Make the folder of a run file. If it exists and is the user's own, remove other users' right to write it.

    Raises SetupError if it is another user's link, or cannot be made.
    """
    try:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if (doubt := doubt_of_link(folder, trusted)) is not None:
            raise SetupError(f"{doubt}: remove it, or start splitway up in another folder")
        found = folder.stat()
        if found.st_uid == os.geteuid() and found.st_mode & OTHERS_WRITE:
            folder.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS_WRITE)
    except OSError as error:
        raise SetupError(f"cannot write {folder}: {error.strerror}") from error


def _places(run: dict[str, object]) -> list[Place]:
    """Raises ValueError, KeyError, TypeError, AttributeError for what `splitway up` does not write."""
    gateway = run.pop(GATEWAY)
    stages = {stage: several for stage, several in run.items() if isinstance(several, list)}  # else of a newer one
    entries = [(GATEWAY, gateway), *((stage, entry) for stage, several in stages.items() for entry in several)]
    places = [Place(stage, str(entry["url"]), int(entry["pid"])) for stage, entry in entries]
    if any(printable(f"{place.stage}{place.url}") != f"{place.stage}{place.url}" or place.pid < 1 for place in places):
        raise ValueError
    return places
