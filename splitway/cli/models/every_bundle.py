"""Every bundle of a folder, checked against its manifest, with a line for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from splitway.bundle import (
    MANIFEST,
    check_bundle,
    check_place,
    parse_manifest,
    read_manifest_bytes,
    read_signatures,
    version_folders,
)
from splitway.cli.console import OUT
from splitway.errors import BundleError, SetupError
from splitway.manifest import Manifest
from splitway.security.signing import TrustedKeys


@dataclass(frozen=True)
class Checked:
    """An undamaged bundle, and the bytes of its manifest."""

    content: bytes
    manifest: Manifest


def bundle_folders(models: Path) -> list[Path]:
    """The folders of every version of every name.

    Raises:
        BundleError: there is none.
        SetupError: the folder cannot be read.
    """
    try:
        names = sorted(path for path in models.iterdir() if path.is_dir())
    except OSError as error:
        raise SetupError(f"{models} cannot be read: {error.strerror}") from error
    folders = [folder for name in names for folder in version_folders(name) if (folder / MANIFEST).exists()]
    if not folders:
        raise BundleError(f"there is no bundle in {models}; make some with: splitway build --out {models}")
    return folders


def check_one(folder: Path, keys: TrustedKeys | None = None) -> Checked:
    """Check a bundle's name, version and hashes, and with keys its signature. Raises BundleError."""
    content = read_manifest_bytes(folder, keys)
    manifest = parse_manifest(content, folder / MANIFEST)
    check_bundle(folder, manifest)
    check_place(folder, folder.parent.name, manifest)
    return Checked(content, manifest)


def check_every(models: Path, version: str | None, keys: TrustedKeys | None = None) -> None:
    """Check every bundle, or those of one version, and say of each what was found.

    Raises:
        BundleError: one is damaged or, with keys, not signed by any of them; or there is none.
        SetupError: the folder cannot be read.
    """
    every = bundle_folders(models)
    folders = [folder for folder in every if version in (None, folder.name)]
    if not folders:
        known = ", ".join(sorted({folder.name for folder in every}, key=int))
        raise BundleError(f"{models} has no bundle of version {version}, only of {known}")
    wrong = []
    for folder in folders:
        try:
            said = _sound(folder, keys)
        except BundleError as error:
            wrong.append(folder)
            said = f"WRONG: {error.detail}"
        OUT.print(f"{folder}  {said}", markup=False)
    if wrong:
        raise BundleError(f"{wrong[0]} is wrong, the first of {len(wrong)} among {len(folders)} bundles")


def _sound(folder: Path, keys: TrustedKeys | None) -> str:
    """The line for an undamaged bundle. Raises BundleError for a damaged one."""
    bundle = check_one(folder, keys)
    files = len(bundle.manifest.engine_files) + (bundle.manifest.labels is not None)
    if keys is None:
        return f"{files} files as its manifest says"
    return f"signed by {keys.check(bundle.content, read_signatures(folder))}, {files} files as signed"
