"""What `splitway release` does to the file of releases: each change is one read, one decision, one replacement."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from rich.table import Table

from splitway.bundle_graph import Chain, check_follow, find_chain, unfit_heads
from splitway.cli.console import OUT
from splitway.cli.folders import option_for
from splitway.errors import BundleError, SetupError
from splitway.releases import FILE, Event, Release, Releases, Trial, change_releases, check_release_name, read_releases

_What = Literal["create", "canary", "shadow", "promote", "rollback"]
_TRIALS = ("canary", "shadow")
_NOW = partial(datetime.now, UTC)


def parse_heads(options: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VERSION` options. Raises SetupError for what is not one."""
    heads: dict[str, str] = {}
    for option in options:
        name, _, version = option.partition("=")
        if not name.isidentifier() or not version.isdigit() or version.startswith("0"):
            raise SetupError(f"--head takes NAME=VERSION such as classifier=2, not {option!r}")
        heads[name] = version
    return heads


@dataclass(frozen=True)
class ReleaseBook:
    """The file of releases beside its bundles: `releases.json` in their folder if it is not named."""

    models: Path
    file: Path | None = None
    now: Callable[[], datetime] = _NOW
    """The time that is written into the history."""
    named: str = ""
    """The option that named it, after a space: the commands that errors give repeat it."""

    @property
    def path(self) -> Path:
        return self.file or self.models / FILE

    def read(self) -> Releases:
        """Return what the file holds. Raises SetupError for one that cannot be read."""
        return read_releases(self.path) or Releases()

    def create(self, name: str, extractor: str | None, heads: Mapping[str, str], reason: str = "") -> Releases:
        """Write down which versions belong together: of the extractor, and by name of each head.

        The extractor is by default the newest from which a chain leads to a head, and the heads are all that fit, each
        in its newest version that does.

        Raises:
            SetupError: there is a release of that name, or the name is none.
            BundleError: a bundle is missing or damaged, or the bundles are not of one feature space.
        """
        check_release_name(name)
        chain = find_chain(self.models, extractor, heads)
        chosen = {name: head for name, head in chain.heads.items() if not heads or name in heads}
        _check_whole(Chain(chain.extractor, chain.bodies, chosen))
        release = Release(
            extractor=chain.extractor.manifest.version,
            heads={name: head.manifest.version for name, head in chosen.items()},
            bodies={body.manifest.name: body.manifest.version for body in chain.bodies},
            feature_space=chain.extractor.manifest.feature_space,
            created=self._at(),
        )

        def change(releases: Releases) -> tuple[Releases, str]:
            if name in releases.releases:
                raise SetupError(f"there is a release {name!r} already; choose another name")
            return releases.model_copy(update={"releases": {**releases.releases, name: release}}), name

        return self._change("create", reason, change)

    def try_out(self, kind: Literal["canary", "shadow"], name: str, percent: float, reason: str = "") -> Releases:
        """Give a release a share of the requests. Raises SetupError if it is not there, or serves them already."""

        def change(releases: Releases) -> tuple[Releases, str]:
            self._check_known(releases, name)
            if releases.current is None:
                raise SetupError(
                    f"no release is current: promote one first, with: splitway release promote {name}{self.named}"
                )
            if name == releases.current:
                raise SetupError(f"{name!r} is current: it already serves all requests")
            return releases.model_copy(update={kind: Trial(release=name, percent=percent, since=self._at())}), name

        return self._change(kind, reason, change)

    def promote(self, name: str | None, reason: str = "") -> Releases:
        """Make a release the current one; the canary, if none is named. Raises SetupError if there is none to promote.

        A canary or shadow of the same release ends with it.
        """

        def change(releases: Releases) -> tuple[Releases, str]:
            chosen = name or (releases.canary.release if releases.canary else None)
            if chosen is None:
                raise SetupError(f"there is no canary: name the release to promote; {self._known(releases)}")
            self._check_known(releases, chosen)
            if chosen == releases.current:
                raise SetupError(f"{chosen!r} is current already")
            ended = {kind: None for kind, trial in _trials(releases).items() if trial.release == chosen}
            return releases.model_copy(update={"current": chosen, "previous": releases.current, **ended}), chosen

        return self._change("promote", reason, change)

    def roll_back(self, reason: str = "") -> Releases:
        """End canary and shadow; if there is neither, go back to the previous release, or raise SetupError."""

        def change(releases: Releases) -> tuple[Releases, str]:
            trials = _trials(releases)
            if trials:
                ended: dict[str, None] = dict.fromkeys(trials)
                return releases.model_copy(update=ended), next(iter(trials.values())).release
            if releases.previous is None or releases.current is None:
                raise SetupError("there is no canary, no shadow and no previous release: nothing to roll back")
            return releases.model_copy(update={"current": releases.previous, "previous": None}), releases.current

        return self._change("rollback", reason, change)

    def _change(self, event: _What, reason: str, change: Callable[[Releases], tuple[Releases, str]]) -> Releases:
        def noted(releases: Releases) -> Releases:
            changed, name = change(releases)
            return changed.noted(Event(at=self._at(), event=event, release=name, reason=reason))

        return change_releases(self.path, noted)

    def _check_known(self, releases: Releases, name: str) -> None:
        if name not in releases.releases:
            near = difflib.get_close_matches(name, releases.releases, n=3)
            hint = f"did you mean {_listed(near)}?" if near else self._known(releases)
            raise SetupError(f"there is no release {name!r}; {hint}")

    def _known(self, releases: Releases) -> str:
        none = f"there is none yet: splitway release create NAME{self.named}"
        return f"there are {_listed(releases.releases)}" if releases.releases else none

    def _at(self) -> str:
        return self.now().isoformat(timespec="seconds")


def _trials(releases: Releases) -> dict[str, Trial]:
    pairs = {kind: getattr(releases, kind) for kind in _TRIALS}
    return {kind: trial for kind, trial in pairs.items() if trial is not None}


def _check_whole(chain: Chain) -> None:
    """Raise BundleError unless every file of it is as its manifest says, and every head takes what comes to it."""
    chain.load(chain.heads)
    last = chain.bodies[-1] if chain.bodies else chain.extractor
    for head in chain.heads.values():
        check_follow(last, head)


def lost_heads(releases: Releases, name: str) -> list[str]:
    """The heads that the current release has, and this one has not: requests for them would be refused."""
    current = releases.releases.get(releases.current or "")
    return [] if current is None else [head for head in current.heads if head not in releases.releases[name].heads]


def left_out(book: ReleaseBook, release: Release) -> dict[str, str]:
    """Why heads that lie beside a release do not fit it, and what to do, by name; nothing where no bundles lie."""
    models, where = book.models, option_for(book.models)
    try:
        newest = find_chain(models)
        can_train = newest.extractor.manifest.version == release.extractor
        heads = unfit_heads(models, newest if can_train else find_chain(models, release.extractor))
    except BundleError:
        return {}
    says = {}
    for head in (each.manifest for each in heads):
        why = f"{head.name} {head.version} takes the features {head.takes}, not those of extractor {release.extractor}"
        do = f"; train it on these with: splitway train-head --in-process --images PICTURES --name {head.name}{where}"
        says[head.name] = why + do * can_train
    return says


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def standing(releases: Releases) -> Mapping[str, object]:
    """What the last change was, and what is served since, for programs."""
    last = releases.history[-1]
    trials = {kind: None if (trial := getattr(releases, kind)) is None else trial.model_dump() for kind in _TRIALS}
    return {**last.model_dump(), "current": releases.current, "previous": releases.previous, **trials}


def print_table(releases: Releases) -> None:
    """Print one row per release, newest first, and what each of them is for."""
    table = Table("release", "state", "extractor", "bodies", "heads", "feature space", "created", box=None)
    table.header_style = "bold"
    newest_first = sorted(releases.releases.items(), key=lambda pair: pair[1].created, reverse=True)
    for name, release in newest_first:
        heads, bodies = (_versions(pairs) or "-" for pairs in (release.heads, release.bodies))
        state = _state(releases, name) or "-"
        table.add_row(name, state, release.extractor, bodies, heads, release.feature_space, release.created)
    OUT.print(table)


def _versions(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in pairs.items())


def _state(releases: Releases, name: str) -> str:
    states = [state for state in ("current", "previous") if getattr(releases, state) == name]
    trials = _trials(releases).items()
    return ", ".join([*states, *(f"{kind} {trial.percent:g} %" for kind, trial in trials if trial.release == name)])
