"""The folder of bundles: whether they are whole, follow each other, and are those that the releases name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from splitway.bundle import MANIFEST, load_bundle, read_manifest, version_folders
from splitway.bundle_graph import Chain, FoundBundle, find_chain
from splitway.cli.doctor.finding import Finding, ok, problem, warning
from splitway.cli.models.bundles import check_one
from splitway.errors import BundleError, SetupError, many
from splitway.names import EXTRACTOR
from splitway.no_bundles import makes
from splitway.plan import can_follow
from splitway.releases import Release, Releases, read_releases
from splitway.security.signing import PUBLIC_SUFFIX, TrustedKeys, read_trusted_keys
from splitway.stored import OtherFormat, StoredPart, unknown_fields

BUNDLE_KEY = "SPLITWAY_BUNDLE_KEY"


def folder(models: Path, *, may_be_elsewhere: bool) -> Finding | None:
    """What keeps the folder from being looked into, if anything does.

    `may_be_elsewhere`: a pipeline runs, whose bundles need not be here.
    """
    try:
        if any(version_folders(each) for each in _names(models)):
            return None
    except OSError as error:
        return problem("bundles", f"{error.filename} cannot be read: {error.strerror}", "let this user read it")
    says = f"there is no bundle in {models.absolute()}"
    if may_be_elsewhere:
        return warning("bundles", f"{says}: the pipeline's bundles are elsewhere", "name their folder with --models")
    return problem("bundles", says, f"{makes(models)}; or name another folder with --models")


def read_trust(environment: Mapping[str, str]) -> tuple[TrustedKeys | None, Finding | None]:
    """The keys of which one must have signed a bundle, as stages take them; or what is wrong with their file."""
    if not (name := environment.get(BUNDLE_KEY, "")):
        return None, None
    try:
        return read_trusted_keys(Path(name)), None
    except SetupError as error:
        do = f"name the file of the public key, {PUBLIC_SUFFIX}, that splitway sign --new-key makes, or unset it"
        return None, problem("bundle key", f"{BUNDLE_KEY}: no stage starts: {error.detail}", do)


class Hashed(NamedTuple):
    """Which bundles are whole, and signed where keys are given; and what there is to say of all of them."""

    whole: set[Path]
    findings: list[Finding]


def hash_all(models: Path, keys: TrustedKeys | None = None) -> Hashed:
    """Read every bundle in the folder, and check its signature where keys are given."""
    sound, wrong, said_more = set(), [], []
    for version in (version for name in _names(models) for version in version_folders(name)):
        try:
            _, manifest = check_one(version, keys)
            sound.add(version)
            said_more += _unknown("bundles", str(version / MANIFEST), manifest)
        except BundleError as error:
            wrong.append(problem("bundles", error.detail, _mended(models, version)))
        except OSError as error:
            wrong.append(problem("bundles", f"{error.filename}: {error.strerror}", "let this user read it"))
    signed = f", and a key in {BUNDLE_KEY} has signed it" if keys else ""
    says = f"{many(len(sound), 'whole bundle')} in {models}: every hash matches its manifest{signed}"
    return Hashed(sound, [*wrong, *said_more, *([ok("bundles", says)] if sound else [])])


def _unknown(name: str, path: str, found: StoredPart) -> list[Finding]:
    """A warning of what a newer version wrote into a file, if it did."""
    if not (listed := unknown_fields(found)):
        return []
    says = f"{path} has fields that this version of Splitway does not know, and ignores: {listed}"
    return [warning(name, says, "run the version of Splitway that wrote them, or a newer one, if they matter")]


def _mended(models: Path, version: Path) -> str:
    """What to do about a bundle that is not sound: of another format, damaged, or not signed by a trusted key."""
    try:
        bundle = load_bundle(version)
    except (BundleError, OSError) as error:
        if isinstance(error.__cause__, OtherFormat):
            return f"run the version of Splitway that made {version}, or remove that folder"
        return f"make {version} again with --force, or copy it again"
    name = f"{version.parent.name}/{version.name}"
    if name != (is_for := f"{bundle.manifest.name}/{bundle.manifest.version}"):
        return f"move it to {models / is_for}, or make it for where it is"
    return f"if it is yours, splitway sign {models} --key PRIVATE.pem --bundle {name}; if it is unknown, remove it"


def chain(models: Path, releases: Releases | None) -> list[Finding]:
    """Whether the newest versions, which are the ones served, lead from the extractor to the heads.

    Where a release is current, its versions are served beside them.
    """
    try:
        newest = find_chain(models, read_manifest(version_folders(models / EXTRACTOR)[0]).version)
    except IndexError:
        return [problem("chain", f"there is no {EXTRACTOR} in {models}", makes(models))]
    except BundleError as error:
        if releases is not None and releases.current is not None:
            return [warning("chain", f"{error.detail}; release {releases.current} is used meanwhile", _SPLIT)]
        return [problem("chain", error.detail, _SPLIT)]
    heads = ", ".join(f"{name} {head.manifest.version}" for name, head in newest.heads.items())
    first = newest.extractor.manifest
    leads = ok("chain", f"{EXTRACTOR} {first.version} ({first.feature_space}) leads to {heads}")
    return [leads, *_strangers(models, newest, warning if releases and releases.current else problem)]


_SPLIT = "put the pair that one splitway split or train-head made into the folder"


def _strangers(models: Path, newest: Chain, level: Callable[[str, str, str], Finding]) -> Iterable[Finding]:
    """Heads of which the newest version takes features that nothing in the folder gives now."""
    links = [newest.extractor, *newest.bodies]
    for name in _names(models):
        found = _newest(name)
        if found is None or found.manifest.role != "head":
            continue
        if any(can_follow(link.manifest, found.manifest) for link in links):
            continue
        takes, gives = found.manifest.takes, links[-1].manifest.gives
        says = f"{found.folder} takes {takes}, and the chain gives {gives}: it will not be asked"
        yield level("chain", says, f"train {found.manifest.name} again on this extractor, or remove that version")


def read_file(path: Path) -> tuple[Releases | None, Finding | None]:
    """The releases, or what is wrong with their file."""
    try:
        return read_releases(path), None
    except SetupError as error:
        do = "repair or remove it; the last good state stays in force until then"
        return None, problem("releases", error.detail, do)


def releases(models: Path, held: Releases | None) -> list[Finding]:
    """Whether every release in use names versions that are there and belong together."""
    if held is None:
        return [ok("releases", "no release is made: the newest versions that belong together are used")]
    said_more = _unknown("releases", "the file of releases", held)
    wrong = [fault for name, release in held.in_use.items() for fault in _faults(models, name, release)]
    if wrong:
        return [*wrong, *said_more]
    used = ", ".join(held.in_use) or "none"
    says = f"current is {held.current or 'none'}; in use: {used}; all their versions are here"
    return [*said_more, ok("releases", says)]


def _faults(models: Path, name: str, release: Release) -> Iterable[Finding]:
    named = {EXTRACTOR: release.extractor, **release.bodies, **release.heads}
    for stage, version in named.items():
        if models / stage / version not in version_folders(models / stage):
            says = f"release {name} names {stage} {version}, which is not in {models}"
            yield problem("releases", says, "restore that version, or promote another release")
    try:
        gives = read_manifest(models / EXTRACTOR / release.extractor).gives
    except BundleError:
        return
    if gives != release.feature_space:
        says = f"release {name} is of {release.feature_space}, and {EXTRACTOR} {release.extractor} now gives {gives}"
        yield problem("releases", says, "restore the previous extractor, or make a new release")


def _names(models: Path) -> list[Path]:
    return sorted(path for path in models.iterdir() if path.is_dir()) if models.is_dir() else []


def _newest(name: Path) -> FoundBundle | None:
    """The newest version whose manifest can be read, as a stage takes it."""
    for version in version_folders(name):
        try:
            return FoundBundle(version, read_manifest(version))
        except BundleError:
            continue
    return None
