"""The contract at rest: a stage in a folder `models/<stage>/<version>/`, described by its `stage.json`.

Hashes are checked before any byte of an engine file is parsed. A bundle is written beside its place and moved into it
whole, so that a half-made one is never seen.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from splitway.errors import BundleError
from splitway.manifest import PROBABILITIES, VERSION, EngineFile, EngineName, Manifest, Role

MANIFEST = "stage.json"


class Bundle:
    """A bundle whose manifest has been read and whose files have been checked."""

    def __init__(self, folder: Path, manifest: Manifest, labels: tuple[str, ...]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.labels = labels
        self._contents: dict[str, bytes] = {}

    def content(self, path: str) -> bytes:
        """A file's bytes, read once however many engines are made of them. Raises BundleError, OSError."""
        if path not in self._contents:
            self._contents[path] = (self.folder / path).read_bytes()
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


def read_manifest(folder: Path) -> Manifest:
    """Read a bundle's manifest. Raises BundleError naming the file and the field."""
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise BundleError(f"{path} is not a manifest: {where}: {first['msg']}") from error


def load_bundle(folder: Path, *, role: Role | None = None) -> Bundle:
    """Read and check a bundle: manifest, role if one is asked for, and size and SHA-256 of every file it names.

    Raises:
        BundleError: with the name of the file that is missing, damaged or in contradiction.
    """
    manifest = read_manifest(folder)
    if role is not None and manifest.role != role:
        raise BundleError(f"{folder} holds a bundle of role {manifest.role}, where {role} is needed")
    for entry in manifest.engine_files:
        _check_file(folder, entry.path, entry.sha256, entry.size)
    return Bundle(folder, manifest, _read_labels(folder, manifest))


def _check_file(folder: Path, name: str, sha256: str, size: int | None = None) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{folder / MANIFEST} names a file outside the bundle: {name}")
    if not path.is_file():
        raise BundleError(f"{path} is missing; build the bundle again")
    if size is not None and path.stat().st_size != size:
        raise BundleError(f"{path} has {path.stat().st_size} bytes, its manifest says {size}; build the bundle again")
    if sha256_file(path) != sha256:
        raise BundleError(f"{path} is corrupted: its SHA-256 is not the one in its manifest; build the bundle again")
    return path


def _read_labels(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    if manifest.labels is None or manifest.labels_sha256 is None:
        return ()
    path = _check_file(folder, manifest.labels, manifest.labels_sha256)
    labels = tuple(path.read_text(encoding="utf-8").splitlines())
    entries = {entry.name: entry for entry in manifest.outputs}
    if PROBABILITIES not in entries:
        raise BundleError(f"{folder / MANIFEST} names labels, but no output {PROBABILITIES!r}")
    classes = entries[PROBABILITIES].shape[-1]
    if len(labels) != classes:
        raise BundleError(f"{path} has {len(labels)} labels for {classes} classes")
    return labels


def find_bundle(models: Path, stage: str, version: str | None = None) -> Path:
    """Return the folder of a stage's bundle: the version asked for, or the highest.

    Raises:
        BundleError: there is none; the line says where it was looked for and how to make one.
    """
    folder = models / stage
    versions = [path.name for path in version_folders(folder)]
    if version is None and versions:
        version = versions[0]
    if version is None or version not in versions:
        wanted = f"{folder}/{version or '<version>'}"
        raise BundleError(f"no bundle at {wanted}; make one with: splitway build --out {models}")
    return folder / version


def version_folders(stage: Path) -> list[Path]:
    """The folders of a stage's versions, the newest first; none where there is no such stage. Raises OSError."""
    try:
        found = [path for path in stage.iterdir() if re.fullmatch(VERSION, path.name) and path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda folder: int(folder.name), reverse=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace a bundle's manifest in one step."""
    temporary = folder / f".{MANIFEST}.{secrets.token_hex(4)}"
    try:
        temporary.write_text(manifest.to_json(), encoding="utf-8")
        temporary.replace(folder / MANIFEST)
    finally:
        temporary.unlink(missing_ok=True)


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
    """A hidden name in the target's folder that nobody has."""
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
