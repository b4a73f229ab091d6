"""What lies in the folder of bundles: which names and versions there are, and whether they have changed."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from splitway.bundle import read_manifest, read_manifest_bytes, version_folders
from splitway.errors import BundleError
from splitway.names import BODY, EXTRACTOR, NAME, Role
from splitway.releases import read_releases
from splitway.stored import unnamed

if TYPE_CHECKING:
    from splitway.security.signing import TrustedKeys

_NAME = re.compile(NAME)
_OTHER_ROLES = re.compile(rf"{EXTRACTOR}|{BODY}_[0-9]+")
Versions = Mapping[str, "FoundVersion"]
"""By number."""


@dataclass(frozen=True)
class Scope:
    """What a process serves: the bundles of its own name, or those of every name whose newest one has its role."""

    name: str
    """The stage, and the folder of bundles that holds its versions."""
    role: Role
    every_name: bool = False
    keys: TrustedKeys | None = None
    """One of them must have signed a bundle; None where bundles need no signature."""


@dataclass(frozen=True)
class FoundVersion:
    """One version's folder as it lay there when it was looked at."""

    folder: Path
    digest: str
    """Of the manifest; another one means another bundle."""
    files: frozenset[tuple[str, int, int]]
    """Path, size and modification time of every file: a bundle that failed to load is tried again when they change."""


def look(models: Path, scope: Scope, known: Iterable[str] = ()) -> dict[str, dict[str, FoundVersion]]:
    """Return the versions of every name in scope, and of the names that are known already.

    Raises:
        OSError: the folder cannot be read.
    """
    names = {scope.name, *known}
    if scope.every_name:
        names |= {path.name for path in models.iterdir() if _NAME.fullmatch(path.name) and _is_in(path, scope)}
    else:
        models.stat()  # or a volume that is away for a moment looks like one without bundles
    return {name: _versions(models / name) for name in names}


def has_changed(found: FoundVersion) -> bool:
    """Whether the manifest is another one by now."""
    return _digest(found.folder) != found.digest


def in_use(releases: Path, role: Role) -> dict[str, set[str]] | None:
    """The versions, by name, of the releases that requests may be sent to; None where there is no file.

    Raises:
        SetupError: the file is broken.
    """
    with unnamed():  # the gateway goes by them, and names what it does not know
        content = read_releases(releases)
    if content is None:
        return None
    held: dict[str, set[str]] = {}
    for release in content.in_use.values():
        pairs = {"extractor": {EXTRACTOR: release.extractor}, "body": release.bodies, "head": release.heads}
        for name, version in pairs[role].items():
            held.setdefault(name, set()).add(version)
    return held


def newest_first(versions: Iterable[str]) -> list[str]:
    """Sort by number, not by letters."""
    return sorted(versions, key=int, reverse=True)


def _versions(folder: Path) -> dict[str, FoundVersion]:
    return {path.name: FoundVersion(path, _digest(path), _files(path)) for path in version_folders(folder)}


def _is_in(folder: Path, scope: Scope) -> bool:
    """Whether the newest bundle whose manifest can be read has the scope's role.

    Where keys are set and none of them has signed any, what role they have is not looked up: they are taken for heads,
    so that the log says why they are not served, unless their name says that they are something else.
    """
    read = False
    with contextlib.suppress(OSError):
        for version in version_folders(folder):
            read = True
            with contextlib.suppress(BundleError), unnamed():
                return read_manifest(version, scope.keys).role == scope.role
    return read and scope.keys is not None and _OTHER_ROLES.fullmatch(folder.name) is None


def _digest(folder: Path) -> str:
    try:
        return hashlib.sha256(read_manifest_bytes(folder)).hexdigest()
    except BundleError:
        return ""


def _files(folder: Path) -> frozenset[tuple[str, int, int]]:
    files = set()
    with contextlib.suppress(OSError):  # it is being replaced; the next look sees what it became
        for path in folder.rglob("*"):
            status = path.stat()
            files.add((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    return frozenset(files)
