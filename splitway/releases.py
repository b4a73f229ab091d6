"""Which versions belong together: releases at rest, in one file that stages, gateway and command line share.

A release is one version of the extractor and one of each head, all of one feature space. The file is replaced whole, so
that a reader sees one state or the next.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from splitway.errors import SetupError
from splitway.names import VERSION
from splitway.state_file import PATIENCE_S, locked, replace_file
from splitway.stored import FORMAT, Format, StoredPart, read_stored

FILE = "releases.json"
_HISTORY = 200
"""Events that are kept."""
Version = Annotated[str, Field(pattern=VERSION)]
ReleaseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def check_release_name(name: str) -> None:
    """Raise SetupError for what no release may be called."""
    try:
        TypeAdapter(ReleaseName).validate_python(name)
    except ValidationError as error:
        allowed = "letters, digits, '.', '_' and '-', 64 at most, a letter or digit first"
        raise SetupError(f"{name!r} is not a valid name for a release: {allowed}") from error


class Release(StoredPart):
    """Versions that move together."""

    extractor: Version
    heads: dict[str, Version]
    bodies: dict[str, Version] = {}
    """Of a chain with stages between extractor and heads; one that is not named may be any version that fits."""
    feature_space: str
    """What the extractor gives."""
    created: str


class Trial(StoredPart):
    """A release that gets a share of the requests: as answers (canary), or beside them, unseen (shadow)."""

    release: ReleaseName
    percent: Annotated[float, Field(gt=0, le=100)]
    since: str


class Event(StoredPart):
    """What was done, and why."""

    at: str
    event: Literal["create", "canary", "shadow", "promote", "rollback"]
    release: ReleaseName
    reason: str = ""


class Releases(StoredPart):
    """The whole file."""

    format: Format = FORMAT
    releases: dict[ReleaseName, Release] = {}
    current: ReleaseName | None = None
    previous: ReleaseName | None = None
    canary: Trial | None = None
    shadow: Trial | None = None
    history: tuple[Event, ...] = ()

    @model_validator(mode="after")
    def _names_what_there_is(self) -> Releases:
        trials = [trial.release for trial in (self.canary, self.shadow) if trial is not None]
        for name in (self.current, self.previous, *trials):
            if name is not None and name not in self.releases:
                raise ValueError(f"there is no release {name!r}")
        return self

    @property
    def in_use(self) -> dict[str, Release]:
        """The releases that requests may be sent to, by name."""
        names = [self.current, self.previous, *(t.release for t in (self.canary, self.shadow) if t is not None)]
        return {name: self.releases[name] for name in names if name is not None}

    def noted(self, event: Event) -> Releases:
        """The same with one more event in its history."""
        return self.model_copy(update={"history": (*self.history, event)[-_HISTORY:]})


def read_releases(path: Path) -> Releases | None:
    """Return what the file holds; None if there is no file. Raises SetupError for one that cannot be read."""
    try:
        return read_stored(Releases, path.read_bytes(), path, "a file of releases")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SetupError(str(error)) from error


def write_releases(path: Path, releases: Releases) -> None:
    """Replace the file in one step. Raises SetupError if it cannot be written."""
    replace_file(path, releases.model_dump_json(indent=2) + "\n")


def change_releases(path: Path, change: Callable[[Releases], Releases], patience_s: float = PATIENCE_S) -> Releases:
    """Read, change and replace the file under its lock; return what it holds then.

    Where there is no file, the change is given empty releases; whatever it raises leaves the file as it was. Raises
    SetupError if file or lock cannot be read or written, or another process keeps the lock beyond its patience.
    """
    with locked(path, patience_s):
        releases = change(read_releases(path) or Releases())
        write_releases(path, releases)
        return releases
