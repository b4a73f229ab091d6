"""What lies in the folder of bundles: which names and versions there are, and whether they have changed."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from splitway.bundle import MANIFEST, read_manifest, version_folders
from splitway.errors import BundleError
from splitway.manifest import EXTRACTOR, NAME, Role
from splitway.releases import read_releases

_NAME = re.compile(NAME)
Versions = Mapping[str, "Found"]
"""By number."""


@dataclass(frozen=True)
class Scope:
    """What a process serves: the bundles of its own name, or those of every name whose newest one has its role."""

    name: str
    role: Role
    every_name: bool = False


@dataclass(frozen=True)
class Found:
    """One version's folder as it lay there when it was looked at."""

    folder: Path
    digest: str
    """Of the manifest; another one means another bundle."""
    files: frozenset[tuple[str, int, int]]
    """Every file's path, size and time of change: what could not be loaded is tried again when they differ."""


def look(models: Path, scope: Scope, known: Iterable[str] = ()) -> dict[str, dict[str, Found]]:
    """Return the versions of every name in scope, and of the names that are known already.

    Raises:
        OSError: the folder cannot be read.
    """
    names = {scope.name, *known}
    if scope.every_name:
        names |= {path.name for path in models.iterdir() if _NAME.fullmatch(path.name) and _has_role(path, scope.role)}
    else:
        models.stat()  # or a volume that is away for a moment looks like one without bundles
    return {name: _versions(models / name) for name in names}


def has_changed(found: Found) -> bool:
    """Whether the manifest is another one by now."""
    return _digest(found.folder) != found.digest


def in_use(releases: Path, role: Role) -> dict[str, set[str]] | None:
    """The versions, by name, of the releases that requests may be sent to; None where there is no file.

    Raises:
        SetupError: the file is broken.
    """
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


def _versions(folder: Path) -> dict[str, Found]:
    return {path.name: Found(path, _digest(path), _files(path)) for path in version_folders(folder)}


def _has_role(folder: Path, role: Role) -> bool:
    """Whether the newest bundle whose manifest can be read has this role."""
    with contextlib.suppress(OSError):
        for version in version_folders(folder):
            with contextlib.suppress(BundleError):
                return read_manifest(version).role == role
    return False


def _digest(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""


def _files(folder: Path) -> frozenset[tuple[str, int, int]]:
    files = set()
    with contextlib.suppress(OSError):  # it is being replaced; the next look sees what it became
        for path in folder.rglob("*"):
            status = path.stat()
            files.add((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    return frozenset(files)
