"""The contract at rest: a stage in a folder `models/<stage>/<version>/`, described by its `stage.json`.

Nothing in a bundle is parsed before it has been checked: the manifest's signature, where keys are given, then every
file's size and hash; what an engine is given are the very bytes that were hashed. A bundle is written beside its place
and moved into it whole, so that a half-made one is never seen.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from splitway.errors import BundleError, many, printable
from splitway.manifest import SAVED_MODEL, EngineFile, EngineName, Manifest
from splitway.names import PROBABILITIES, VERSION, Role
from splitway.no_bundles import advice, makes
from splitway.security.untrusted_files import hash_inside, read_inside, walk_inside
from splitway.state_file import replace_file
from splitway.stored import read_stored

if TYPE_CHECKING:
    from splitway.security.signing import TrustedKeys

MANIFEST = "stage.json"
SIGNATURES = f"{MANIFEST}.sig"
MAX_MANIFEST_BYTES = 1024 * 1024
MAX_SIGNATURES_BYTES = 64 * 1024
MAX_LABELS_BYTES = 16 * 1024 * 1024
_MAX_NAMED = 120
_MEND = "restore the file, or build the bundle again"


class Bundle:
    """A bundle whose manifest has been read and whose files have been checked."""

    def __init__(self, folder: Path, manifest: Manifest, labels: tuple[str, ...]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.labels = labels
        self._contents: dict[str, bytes] = {}

    def content(self, path: str) -> bytes:
        """An engine file's bytes, read and hashed once however many engines are made of them.

        Raises BundleError if they are not those that the manifest names, OSError if they cannot be read.
        """
        if path not in self._contents:
            entry = next(each for each in self.manifest.engine_files if each.path == path)
            content = read_inside(self.folder, path, entry.size)
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise _corrupted(self.folder / path)
            self._contents[path] = content
        return self._contents[path]

    def engine_files(self, engine: str) -> dict[str, Path]:
        """The engine's files by their path in the bundle. Raises BundleError if there are none."""
        files = {f.path: self.folder / f.path for f in self.manifest.engine_files if f.engine == engine}
        if not files:
            raise BundleError(f"{self.folder} has no files for the engine {engine!r}")
        return files


def sha256_file(path: Path) -> str:
    """Return the file's SHA-256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def engine_file_entry(folder: Path, path: Path, engine: EngineName) -> EngineFile:
    """Describe a file that has just been written into a bundle."""
    return EngineFile(
        engine=engine, path=path.relative_to(folder).as_posix(), sha256=sha256_file(path), size=path.stat().st_size
    )


def read_manifest_bytes(folder: Path, keys: TrustedKeys | None = None) -> bytes:
    """Read a bundle's manifest and check its signature, where keys are given; parse nothing. Raises BundleError."""
    try:
        content = read_inside(folder, MANIFEST, MAX_MANIFEST_BYTES)
        if keys is not None:
            keys.check(content, read_signatures(folder))
    except BundleError as error:
        raise BundleError(f"{folder}: {error.detail}") from error
    except OSError as error:
        raise BundleError(f"cannot read {folder / MANIFEST}: {error.strerror}") from error
    return content


def read_signatures(folder: Path) -> bytes | None:
    """The bytes of a bundle's signatures; None where there is no file. Raises BundleError, OSError."""
    try:
        (folder / SIGNATURES).lstat()
    except FileNotFoundError:
        return None
    return read_inside(folder, SIGNATURES, MAX_SIGNATURES_BYTES)


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """Parse a manifest. Raises BundleError naming the file and the field."""
    try:
        return read_stored(Manifest, content, path, "a manifest")
    except ValueError as error:
        raise BundleError(str(error)) from error


def read_manifest(folder: Path, keys: TrustedKeys | None = None) -> Manifest:
    """Read a bundle's manifest, and check its signature first where keys are given. Raises BundleError."""
    return parse_manifest(read_manifest_bytes(folder, keys), folder / MANIFEST)


def load_bundle(folder: Path, *, role: Role | None = None, keys: TrustedKeys | None = None) -> Bundle:
    """Read and check a bundle: signature, manifest, role if one is asked for, size and SHA-256 of every file it names.

    One of the keys must have signed it; without any it may be unsigned. Raises BundleError with the name of the file
    that is missing, damaged or in contradiction.
    """
    return check_bundle(folder, read_manifest(folder, keys), role=role)


def check_bundle(folder: Path, manifest: Manifest, *, role: Role | None = None) -> Bundle:
    """Check a bundle against its manifest. Raises BundleError as load_bundle does."""
    if role is not None and manifest.role != role:
        raise BundleError(f"{folder} holds a bundle of role {manifest.role}; role {role} is required")
    try:
        for entry in manifest.engine_files:
            _check_file(folder, entry)
        _refuse_unlisted(folder, manifest)
        return Bundle(folder, manifest, _read_labels(folder, manifest))
    except OSError as error:
        raise BundleError(f"{folder} cannot be read: {error.strerror}") from error


def check_place(folder: Path, name: str, manifest: Manifest) -> None:
    """Raise BundleError unless a folder among those of `name` holds what its place says, as callers ask for it."""
    if (manifest.name, manifest.version) != (name, folder.name):
        raise BundleError(f"{folder} holds version {manifest.version} of {manifest.name!r}, by its manifest")


def _check_file(folder: Path, entry: EngineFile) -> None:
    path = folder / entry.path
    size, sha256 = hash_inside(folder, entry.path, entry.size)
    if size != entry.size:
        raise BundleError(f"{path} has {size} bytes, its manifest says {entry.size}: {_MEND}")
    if sha256 != entry.sha256:
        raise _corrupted(path)


def _corrupted(path: Path) -> BundleError:
    return BundleError(f"{path} is corrupted: its SHA-256 differs from its manifest: {_MEND}")


def _refuse_unlisted(folder: Path, manifest: Manifest) -> None:
    """TensorFlow reads what it finds in a SavedModel's folder, so nothing may lie there that was not hashed."""
    listed = {entry.path for entry in manifest.engine_files if entry.engine == "tensorflow"}
    for path in walk_inside(folder, SAVED_MODEL) if listed else ():
        if path not in listed:
            raise BundleError(f"{folder} has a file that its manifest does not name: {printable(path[:_MAX_NAMED])}")


def _read_labels(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    if manifest.labels is None or manifest.labels_sha256 is None:
        return ()
    path = folder / manifest.labels
    content = read_inside(folder, manifest.labels, MAX_LABELS_BYTES)
    if hashlib.sha256(content).hexdigest() != manifest.labels_sha256:
        raise _corrupted(path)
    try:
        labels = tuple(content.decode("utf-8").splitlines())
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} is not text in UTF-8") from error
    entries = {entry.name: entry for entry in manifest.outputs}
    if PROBABILITIES not in entries:
        raise BundleError(f"{folder / MANIFEST} names labels, but no output {PROBABILITIES!r}")
    classes = entries[PROBABILITIES].shape[-1]
    if len(labels) != classes:
        raise BundleError(f"{path} has {many(len(labels), 'label')} for {classes} classes")
    return labels


def find_bundle(models: Path, stage: str, version: str | None = None) -> Path:
    """The folder of a stage's version, of the highest if none is asked for. Raises BundleError with what to do."""
    folder = models / stage
    versions = [path.name for path in version_folders(folder)]
    if version is None and versions:
        version = versions[0]
    if version is None or version not in versions:
        wanted = f"{folder}/{version or '<version>'}"
        do = f"there is {', '.join(versions[:8])}" if versions else (advice(models) or makes(models))
        raise BundleError(f"no bundle at {wanted}; {do}")
    return folder / version


def version_folders(stage: Path) -> list[Path]:
    """The folders of a stage's versions, the newest first; none where there is no such stage. Raises OSError."""
    try:
        found = [path for path in stage.iterdir() if re.fullmatch(VERSION, path.name) and path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda folder: int(folder.name), reverse=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace a bundle's manifest in one step. Raises SetupError."""
    replace_file(folder / MANIFEST, manifest.to_json())


def write_signatures(folder: Path, content: str) -> None:
    """Replace a bundle's signatures in one step. Raises SetupError."""
    replace_file(folder / SIGNATURES, content)


@contextmanager
def staged(*targets: Path) -> Iterator[list[Path]]:
    """Give an empty folder beside each target; on success they all take their places, on failure none does.

    A failure leaves no empty folders either: a target's own parent and the one above go if nothing else is in them.
    """
    folders = [_beside(target) for target in targets]
    try:
        for folder in folders:
            folder.mkdir(parents=True)
        yield folders
        _swap_all(list(zip(folders, targets, strict=True)))
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for parent in [target.parent for target in targets] + [target.parent.parent for target in targets]:
            with suppress(OSError):  # not empty, or never made
                parent.rmdir()


def _beside(target: Path) -> Path:
    """A hidden, unused name in the target's folder."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}")


def _swap_all(pairs: list[tuple[Path, Path]]) -> None:
    undo = ExitStack()
    with undo:
        old = []
        for folder, target in pairs:
            if target.exists():
                old.append(_beside(target))
                target.rename(old[-1])
                undo.callback(old[-1].rename, target)
            folder.rename(target)
            undo.callback(target.rename, folder)
        undo.pop_all()
    for folder in old:
        shutil.rmtree(folder)
