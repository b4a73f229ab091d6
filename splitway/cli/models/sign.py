"""`splitway sign` and `splitway verify --key`: sign bundles and check signatures, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from splitway.bundle import (
    SIGNATURES,
    find_bundle,
    read_manifest_bytes,
    read_signatures,
    write_signatures,
)
from splitway.cli.console import ERR, OUT
from splitway.cli.models.every_bundle import bundle_folders, check_every, check_one
from splitway.errors import BundleError, SetupError, SplitwayError, printable
from splitway.security.signing import (
    Signatures,
    SigningKey,
    make_key_pair,
    public_path,
    read_signing_key,
    read_trusted_keys,
)


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
    folders = [find_bundle(models, *each.split("/", 1)) for each in chosen] or bundle_folders(models)
    checked = {folder: check_one(folder) for folder in folders}
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
    check_every(models, version, read_trusted_keys(key))


@contextmanager
def sign_again_if_changed(models: Path) -> Iterator[None]:
    """Warn about signed bundles that were rewritten, so that their signatures no longer match."""
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
    """The existing signatures. Unreadable ones are replaced, with a warning."""
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
