"""What `splitway sign` and `splitway verify --key` do: sign bundles, and check who signed them, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from splitway.bundle import (
    MANIFEST,
    SIGNATURES,
    check_bundle,
    find_bundle,
    parse_manifest,
    read_manifest_bytes,
    read_signatures,
    version_folders,
    write_signatures,
)
from splitway.cli.console import ERR, OUT
from splitway.errors import BundleError, SetupError, SplitwayError, printable
from splitway.manifest import Manifest
from splitway.security.signing import (
    Signatures,
    SigningKey,
    TrustedKeys,
    make_key_pair,
    public_path,
    read_signing_key,
    read_trusted_keys,
)


@dataclass(frozen=True)
class _Checked:
    """A whole bundle, and the bytes of the manifest that it was checked against."""

    content: bytes
    manifest: Manifest


def sign(models: Path, key: Path, chosen: Sequence[str], *, new_key: bool) -> None:
    """Sign bundles, all or those that are chosen, each after it has been checked; none if one of them is wrong.

    Args:
        models: folder of the bundles.
        key: PEM file of the private key.
        chosen: NAME for its newest version, or NAME/VERSION; every bundle if there are none.
        new_key: make the key first.

    Raises:
        BundleError: a bundle is missing or damaged.
        SetupError: the key cannot be read, or is there already where it is to be made.
    """
    folders = _folders(models, chosen)
    checked = {folder: _check(folder, None) for folder in folders}
    signing_key = _new_key(key, models) if new_key else _known_key(key)
    for folder, bundle in checked.items():
        write_signatures(folder, signing_key.sign(bundle.content, _others(folder, signing_key)).to_json())
        OUT.print(f"{folder}  signed by {signing_key.id}", markup=False)


def verify_signatures(models: Path, key: Path, version: str | None) -> None:
    """Check signatures and hashes, of every bundle or of those of one version, and say of each what was found.

    Raises:
        BundleError: a bundle is not signed by a key of the file, or damaged.
        SetupError: the file holds no public key.
    """
    keys = read_trusted_keys(key)
    folders = [folder for folder in _folders(models, ()) if version in (None, folder.name)]
    if not folders:
        raise BundleError(f"{models} has no bundle of version {version}")
    wrong = []
    for folder in folders:
        try:
            bundle = _check(folder, keys)
        except BundleError as error:
            wrong.append(folder)
            OUT.print(f"{folder}  WRONG: {error.detail}", markup=False)
        else:
            signer = keys.check(bundle.content, read_signatures(folder))
            files = len(bundle.manifest.engine_files) + (bundle.manifest.labels is not None)
            OUT.print(f"{folder}  signed by {signer}, {files} files as signed", markup=False)
    if wrong:
        raise BundleError(f"{wrong[0]} is wrong, the first of {len(wrong)} among {len(folders)} bundles")


@contextmanager
def sign_again_if_changed(models: Path) -> Iterator[None]:
    """Say of bundles that were signed and have been rewritten meanwhile that their signature does not fit any more."""
    before = {path.parent: _bytes(path.parent) for path in sorted(models.glob(f"*/*/{SIGNATURES}"))}
    yield
    for folder, content in before.items():
        if _bytes(folder) != content:
            ERR.print(
                f"{folder} was signed, and its manifest is another one now: sign it again with "
                f"splitway sign {models} --key PRIVATE.pem",
                style="yellow",
                markup=False,
            )


def _folders(models: Path, chosen: Sequence[str]) -> list[Path]:
    if chosen:
        return [find_bundle(models, *each.split("/", 1)) for each in chosen]
    try:
        names = sorted(path for path in models.iterdir() if path.is_dir())
    except OSError as error:
        raise SetupError(f"{models} cannot be read: {error.strerror}") from error
    folders = [folder for name in names for folder in version_folders(name) if (folder / MANIFEST).exists()]
    if not folders:
        raise BundleError(f"there is no bundle in {models}; make some with: splitway build --out {models}")
    return folders


def _check(folder: Path, keys: TrustedKeys | None) -> _Checked:
    content = read_manifest_bytes(folder, keys)
    manifest = parse_manifest(content, folder / MANIFEST)
    check_bundle(folder, manifest)
    if (manifest.name, manifest.version) != (folder.parent.name, folder.name):
        raise BundleError(f"{folder} holds version {manifest.version} of {manifest.name!r}, by its manifest")
    return _Checked(content, manifest)


def _known_key(path: Path) -> SigningKey:
    if not path.exists():
        raise SetupError(f"there is no key {path}; name another, or add --new-key, which makes it")
    return read_signing_key(path)


def _new_key(path: Path, models: Path) -> SigningKey:
    if path.exists():
        raise SetupError(f"{path} is there already: a key is never overwritten; to sign with it, leave --new-key out")
    if path.resolve().is_relative_to(models.resolve()):
        raise SetupError(f"{path} would lie among the bundles, where every stage can read it: put it elsewhere")
    key = make_key_pair(path)
    ERR.print(
        f"{path} signs: keep it off the machines that serve. {public_path(path)} checks: give it to the stages as "
        "SPLITWAY_BUNDLE_KEY",
        markup=False,
    )
    return key


def _others(folder: Path, key: SigningKey) -> Signatures | None:
    """The signatures that are there; those that cannot be read are replaced, and said to be."""
    try:
        content = read_signatures(folder)
        return None if content is None else Signatures.read(content)
    except SplitwayError as error:
        ERR.print(f"{folder / SIGNATURES} is replaced by one of {key.id}: {printable(error.detail)}", markup=False)
        return None


def _bytes(folder: Path) -> bytes:
    try:
        return read_manifest_bytes(folder)
    except BundleError:
        return b""
