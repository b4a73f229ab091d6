"""Which bundles in a folder of models follow each other: the extractor, the bodies in order, the heads."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from splitway.bundle import Bundle, find_bundle, load_bundle, read_manifest, version_folders
from splitway.errors import BundleError, SetupError
from splitway.manifest import Manifest
from splitway.names import DEFAULT_HEAD, EXTRACTOR
from splitway.plan import can_follow, can_take

if TYPE_CHECKING:
    from splitway.security.signing import TrustedKeys


@dataclass(frozen=True)
class FoundBundle:
    """A bundle whose manifest has been read, and nothing else of it."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True)
class Chain:
    """Bundles that take what the one before gives, the bodies in the order of a request; all heads take the same."""

    extractor: FoundBundle
    bodies: tuple[FoundBundle, ...]
    heads: Mapping[str, FoundBundle]

    @property
    def default_head(self) -> str:
        """The head that answers where none is named. Raises SetupError if that may be one of several."""
        if DEFAULT_HEAD in self.heads:
            return DEFAULT_HEAD
        if len(self.heads) > 1:
            raise SetupError(f"there are several heads, {', '.join(self.heads)}: name the heads that should answer")
        return next(iter(self.heads))

    def load(self, heads: Iterable[str], keys: TrustedKeys | None = None) -> tuple[Bundle, list[Bundle], list[Bundle]]:
        """Read extractor, bodies and these heads; check every hash, and signature for keys. Raises BundleError."""
        return (
            load_bundle(self.extractor.folder, role="extractor", keys=keys),
            [load_bundle(body.folder, role="body", keys=keys) for body in self.bodies],
            [load_bundle(self.heads[name].folder, role="head", keys=keys) for name in heads],
        )


def find_chain(
    models: Path,
    extractor: str | None = None,
    heads: Mapping[str, str] | None = None,
    without: Container[Path] = (),
) -> Chain:
    """Follow the feature spaces from the extractor to the heads, by the newest version of each name that fits.

    Args:
        extractor: the version to begin with; if not given, the newest from which a whole chain leads to a head.
        heads: versions by name, for heads that are to be these and none else; they are not checked to fit.
        without: folders of bundles that are passed over.

    Raises:
        BundleError: a bundle is missing, or no way leads to a head; the line says what is.
    """
    begin = find_bundle(models, EXTRACTOR, extractor)
    versions = [begin] if extractor is not None else version_folders(models / EXTRACTOR)
    versions = [folder for folder in versions if folder not in without]
    first_error: BundleError | None = None
    for version in versions:
        try:
            return _from(models, version, heads or {}, without)
        except BundleError as error:
            first_error = first_error or error
    raise first_error or BundleError(f"{begin} is no bundle")


def check_follow(before: FoundBundle | Bundle, after: FoundBundle | Bundle) -> None:
    """Raise BundleError unless one bundle takes what another gives."""
    if not can_follow(before.manifest, after.manifest):
        raise BundleError(
            f"{after.folder} takes {after.manifest.takes}, but {before.folder} gives {before.manifest.gives}: what "
            "belongs together is of one feature space"
        )


def unfit_heads(models: Path, chain: Chain) -> list[FoundBundle]:
    """The newest version of each head of which none is in a chain: all its versions take other features."""
    found = {name: _every_version(models / name) for name in _names(models) if name not in chain.heads}
    newest = (next((each for each in every if each.manifest.role == "head"), None) for every in found.values())
    return [head for head in newest if head is not None]


def bodies_of(models: Path) -> list[str]:
    """The names of the stages between the extractor and the heads, in order.

    Where no head takes what the last of them gives, they are served all the same: the gateway says what is wrong, and
    goes on when the right head is there. Raises BundleError if there is no extractor, or nothing at all after it.
    """
    try:
        return [body.manifest.name for body in find_chain(models).bodies]
    except BundleError:
        names = _names(models) if models.is_dir() else []
        roles = {found.manifest.role for name in names for found in _every_version(models / name)}
        if not {"extractor", "head"} <= roles or "body" in roles:
            raise
        return []


def _from(models: Path, extractor: Path, named: Mapping[str, str], without: Container[Path]) -> Chain:
    first = FoundBundle(extractor, read_manifest(extractor))
    if first.manifest.role != "extractor":
        raise BundleError(f"{extractor} holds a bundle of role {first.manifest.role}; role extractor is required")
    others = {name: _every_version(models / name, without) for name in _names(models) if name != EXTRACTOR}
    bodies, space = _bodies(others, first.manifest.feature_space)
    heads = {name: head for name, found in others.items() if (head := _taker(found, "head", space))}
    for name, version in named.items():
        folder = find_bundle(models, name, version)
        heads[name] = FoundBundle(folder, read_manifest(folder))
    if not heads:
        last = (bodies[-1] if bodies else first).folder
        raise BundleError(_no_head(models, last, space, others))
    return Chain(first, tuple(bodies), dict(sorted(heads.items())))


def _bodies(others: Mapping[str, list[FoundBundle]], space: str) -> tuple[list[FoundBundle], str]:
    """The bodies that follow a feature space one by one, and the space in which they end."""
    bodies: list[FoundBundle] = []
    seen = {space}
    while True:
        next_ones = [body for found in others.values() if (body := _taker(found, "body", space))]
        if not next_ones:
            return bodies, space
        if len(next_ones) > 1:
            raise BundleError(f"{' and '.join(str(b.folder) for b in next_ones)} both take {space}: keep one of them")
        bodies += next_ones
        space = str(next_ones[0].manifest.gives)
        if space in seen:
            raise BundleError(f"{next_ones[0].folder} leads back to {space}: the bodies form a cycle")
        seen.add(space)


def _taker(found: list[FoundBundle], role: str, space: str) -> FoundBundle | None:
    """The newest version of this role that takes this feature space."""
    return next((each for each in found if each.manifest.role == role and can_take(each.manifest, space)), None)


def _no_head(models: Path, last: Path, space: str, others: Mapping[str, list[FoundBundle]]) -> str:
    takers = [each for found in others.values() for each in found if each.manifest.role in ("body", "head")]
    if not takers:
        return f"no head in {models}: no bundle at {models}/classifier/<version>; make one with: splitway build"
    wanted = ", ".join(f"{each.folder} takes {each.manifest.takes}" for each in takers[:3])
    return f"nothing takes the {space} that {last} gives: {wanted}; the bundle between them is missing"


def _names(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir() if path.is_dir() and path.name.isidentifier())


def _every_version(folder: Path, without: Container[Path] = ()) -> list[FoundBundle]:
    """The versions whose manifests can be read, newest first."""
    found = []
    for version in [each for each in version_folders(folder) if each not in without]:
        with contextlib.suppress(BundleError):
            found.append(FoundBundle(version, read_manifest(version)))
    return found
