"""Every bundle of a folder: checked against its manifest, with a line for each, and signed; without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from splitway.bundle import (
    MANIFEST,
    SIGNATURES,
    check_bundle,
    check_place,
    find_bundle,
    load_bundle,
    parse_manifest,
    read_manifest_bytes,
    read_signatures,
    version_folders,
    write_signatures,
)
from splitway.cli.console import ERR, OUT
from splitway.errors import BundleError, SetupError, SplitwayError, printable
from splitway.manifest import Manifest
from splitway.names import DEFAULT_HEAD, EXTRACTOR
from splitway.no_bundles import no_bundles
from splitway.plan import can_follow
from splitway.security.signing import (
    Signatures,
    SigningKey,
    TrustedKeys,
    make_key_pair,
    public_path,
    read_signing_key,
)


def bundle_folders(models: Path) -> list[Path]:
    """Every version of every name. Raises BundleError if there is none, SetupError for a folder that cannot be read."""
    try:
        names = sorted(path for path in models.iterdir() if path.is_dir())
    except FileNotFoundError as error:
        raise no_bundles(models) from error
    except OSError as error:
        raise SetupError(f"{models} cannot be read: {error.strerror}") from error
    folders = [folder for name in names for folder in version_folders(name) if (folder / MANIFEST).exists()]
    if not folders:
        raise no_bundles(models)
    return folders


def whole_defaults(out: Path, version: str) -> list[Manifest]:
    """What the default bundles say; nothing unless both are there and undamaged, and fit."""
    try:
        extractor = load_bundle(out / EXTRACTOR / version, role="extractor")
        head = load_bundle(out / DEFAULT_HEAD / version, role="head")
    except BundleError:
        return []
    return [extractor.manifest, head.manifest] if can_follow(extractor.manifest, head.manifest) else []


def content_of(models: Path, stages: list[Manifest]) -> Mapping[str, object]:
    """What bundles say, and where they lie, for programs."""
    return {"bundles": [{"folder": models / s.name / s.version, **s.model_dump(mode="json")} for s in stages]}


def check_one(folder: Path, keys: TrustedKeys | None = None) -> tuple[bytes, Manifest]:
    """Check a bundle, with keys its signature too; return its manifest as stored, and as read. Raises BundleError."""
    content = read_manifest_bytes(folder, keys)
    manifest = parse_manifest(content, folder / MANIFEST)
    check_bundle(folder, manifest)
    check_place(folder, folder.parent.name, manifest)
    return content, manifest


def check_every(models: Path, version: str | None, keys: TrustedKeys | None = None) -> Sequence[Mapping[str, object]]:
    """Check every bundle, or those of one version; say of each what was found, and return it.

    Raises:
        BundleError: one is damaged or, with keys, not signed by any of them; or there is none.
        SetupError: the folder cannot be read.
    """
    every = bundle_folders(models)
    folders = [folder for folder in every if version in (None, folder.name)]
    if not folders:
        known = ", ".join(sorted({folder.name for folder in every}, key=int))
        raise BundleError(f"{models} has no bundle of version {version}, only of {known}")
    wrong, found = [], []
    for folder in folders:
        try:
            said = _sound(folder, keys)
        except BundleError as error:
            wrong.append(folder)
            said = f"WRONG: {error.detail}"
        OUT.print(f"{folder}  {said}", markup=False)
        found.append({"folder": folder, "says": said})
    if wrong:
        raise BundleError(f"{wrong[0]} is wrong, the first of {len(wrong)} among {len(folders)} bundles")
    return found


def _sound(folder: Path, keys: TrustedKeys | None) -> str:
    """The line for an undamaged bundle. Raises BundleError for a damaged one."""
    content, manifest = check_one(folder, keys)
    files = len(manifest.engine_files) + (manifest.labels is not None)
    if keys is None:
        return f"{files} files as its manifest says"
    return f"signed by {keys.check(content, read_signatures(folder))}, {files} files as signed"


def sign(models: Path, key: Path, chosen: Sequence[str], *, new_key: bool) -> Mapping[str, object]:
    """Sign bundles, all or those that are chosen, each after it has been checked; none if one of them is wrong.

    Returns what was signed and by which key.

    Raises:
        BundleError: a bundle is missing or damaged.
        SetupError: the key cannot be read, or is there already where it is to be made.
    """
    folders = [find_bundle(models, *each.split("/", 1)) for each in chosen] or bundle_folders(models)
    contents = {folder: check_one(folder)[0] for folder in folders}
    signing_key = _new_key(key, models) if new_key else _known_key(key)
    for folder, content in contents.items():
        write_signatures(folder, signing_key.sign(content, _others(folder, signing_key)).to_json())
        OUT.print(f"{folder}  signed by {signing_key.id}", markup=False)
    return {"key": signing_key.id, "signed": list(contents), "new_key": key if new_key else None}


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
    checks = f"{public_path(path)} checks: give it to the stages as SPLITWAY_BUNDLE_KEY"
    ERR.print(f"{path} signs: keep it off the machines that serve. {checks}", markup=False)
    return key


def _others(folder: Path, key: SigningKey) -> Signatures | None:
    """The existing signatures. Unreadable ones are replaced, with a warning."""
    try:
        content = read_signatures(folder)
        return None if content is None else Signatures.read(content)
    except SplitwayError as error:
        ERR.print(f"{folder / SIGNATURES} is replaced by one of {key.id}: {printable(error.detail)}", markup=False)
        return None


@contextmanager
def sign_again_if_changed(models: Path) -> Iterator[None]:
    """Warn about signed bundles that were rewritten, so that their signatures no longer match."""
    before = {path.parent: _bytes(path.parent) for path in sorted(models.glob(f"*/*/{SIGNATURES}"))}
    yield
    for folder, content in before.items():
        if _bytes(folder) != content:
            do = f"sign it again with splitway sign {models} --key PRIVATE.pem"
            said = f"{folder} was signed, and its manifest is another one now: {do}"
            ERR.print(said, style="yellow", markup=False)


def _bytes(folder: Path) -> bytes:
    try:
        return read_manifest_bytes(folder)
    except BundleError:
        return b""
