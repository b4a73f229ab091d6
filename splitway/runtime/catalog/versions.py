"""The versions of one model: which are loaded, which one is the default, which ones leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from splitway.errors import SplitwayError, first_line
from splitway.runtime.catalog.catalog import FoundVersion, Versions, newest_first
from splitway.runtime.catalog.served import Card, ServedBundle

GONE = "its bundle is gone, and no other can replace it"
UNSAID = "it cannot be loaded; the stage's log says why"
State = Literal["loading", "ready", "retiring", "failed"]
OpenModel = Callable[[str, FoundVersion], Awaitable[ServedBundle]]
"""Makes a model of a name's bundle, without its engines. Raises BundleError."""
LoadModel = Callable[[ServedBundle, FoundVersion], Awaitable[None]]
"""Loads and warms its engines beside the event loop. Raises any SplitwayError, and what an engine raises."""


@dataclass
class Version:
    """What has become of one version."""

    state: State
    reason: str | None = None
    """Why it could not be loaded, as callers may know it."""
    in_full: str | None = None
    """The same with paths and in an engine's words, for the operators."""
    card: Card | None = None
    model: ServedBundle | None = None
    """What answers, where something does."""
    digest: str = ""
    """Of the manifest that `model` was made from."""
    could_not: FoundVersion | None = None
    """What could not be loaded; it is tried again when it has changed."""
    leaving: asyncio.Task[None] | None = None

    def stay(self) -> None:
        """Be ready, also if it was to leave."""
        if self.leaving is not None:
            self.leaving.cancel()
            self.leaving = None
        self.state = "ready"


@dataclass(eq=False)
class ModelVersions:
    """Moves one name from what is loaded to what should be. Used on the event loop alone.

    The default is the newest version that can be loaded, or the pinned one. What it replaces is called by its number
    for a while longer, and closed when its last request is done.
    """

    name: str
    open_model: OpenModel
    load_model: LoadModel
    changed: Callable[[], None]
    """Called whenever another set of versions can be called."""
    pinned: str | None
    """The one version that may be the default, or None for the newest."""
    keep_old_s: float
    """Seconds that a version stays when it is no longer wanted."""
    default: str | None = None
    versions: dict[str, Version] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    """Loaded on request."""
    unloaded: set[str] = field(default_factory=set)
    """Unloaded on request."""
    news: list[str] = field(default_factory=list)
    """Failures that have not been logged yet."""
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def failure(self) -> str | None:
        """Why the newest of those that could not be loaded could not, in full."""
        failed = [n for n, version in self.versions.items() if version.state == "failed"]
        return self.versions[newest_first(failed)[0]].in_full if failed else None

    @property
    def callable(self) -> dict[str, ServedBundle]:
        """What answers, by version, oldest first, the default last."""
        models = {
            number: version.model for number, version in tuple(self.versions.items()) if version.model is not None
        }
        return {number: models[number] for number in sorted(models, key=lambda n: (n == self.default, int(n)))}

    @property
    def busy(self) -> dict[str, Callable[[], int]]:
        """What all its versions have to do now; a version whose rewritten bundle cannot be loaded has failed too."""
        return {
            "in_flight": lambda: sum(served.in_flight for served in self.callable.values()),
            "queued_rows": lambda: sum(served.queued_rows for served in self.callable.values()),
            "failed_versions": lambda: sum(v.could_not is not None for v in tuple(self.versions.values())),
            "callers_apart": lambda: sum(served.callers_apart for served in self.callable.values()),
        }

    async def settle(self, found: Versions, in_use: Collection[str], *, may_be_away: bool = False) -> None:
        """Load what should be loaded, the default first, and let go of the rest.

        Args:
            found: what lies in the folder.
            in_use: versions that are kept because releases name them.
            may_be_away: whether a folder without any version says nothing: what is the default stays so.
        """
        for number in [n for n, v in self.versions.items() if v.model is None and n not in found]:
            del self.versions[number]
        while True:
            default, wanted = self._plan(found, in_use, keep=may_be_away or bool(found))
            self._arrange(default, wanted)
            to_load = [n for n in wanted if n in found and self._needs_loading(n, found[n])]
            if not to_load:
                self._say_what_is_gone(found)
                return
            await self._load_one(to_load[0], found[to_load[0]])

    def _say_what_is_gone(self, found: Versions) -> None:
        """Say once of a default whose bundle has been taken away that it is served on."""
        version = self.versions.get(self.default or "")
        if version is None or version.state != "ready":
            return
        gone = self.default not in found
        if gone and version.reason != GONE:
            self.news.append(f"{self.name} version {self.default} is served on: {GONE}")
        if gone or version.reason == GONE:
            version.reason = GONE if gone else None

    def _plan(self, found: Versions, in_use: Collection[str], *, keep: bool) -> tuple[str | None, list[str]]:
        """What should be the default, and everything that should be loaded, the default first; where nothing can take
        its place, the default stays if it is to be kept."""
        there = [n for n in newest_first({*found, *self.callable}) if n not in self.unloaded]
        able = [n for n in there if n in found and (self._is_loaded(n) or not self._could_not(n, found[n]))]
        default = next((n for n in able if self.pinned in (None, n)), None)
        if default is None and keep and self.default in there and self._is_loaded(self.default):
            default = self.default
        held = [n for n in there if n != default and (n in in_use or (n in self.asked and n in able))]
        return default, [*([default] if default is not None else []), *held]

    def _arrange(self, default: str | None, wanted: Collection[str]) -> None:
        if default is not None and self._is_loaded(default):
            self.default = default
        for number, version in self.versions.items():
            # Until what is to come has been loaded, what is there stays the default; it cannot leave before that.
            if number in wanted or (number == self.default != default and default is not None):
                if version.state == "retiring":
                    version.stay()
            elif version.state == "ready":
                version.state = "retiring"
                version.leaving = self._in_background(self._leave(number))
        self.changed()

    def _is_loaded(self, number: str) -> bool:
        return number in self.versions and self.versions[number].model is not None

    def _could_not(self, number: str, found: FoundVersion) -> bool:
        return number in self.versions and self.versions[number].could_not == found

    def _needs_loading(self, number: str, found: FoundVersion) -> bool:
        if self._could_not(number, found):
            return False
        return not self._is_loaded(number) or self.versions[number].digest != found.digest

    async def _load_one(self, number: str, found: FoundVersion) -> None:
        """Make a version, or keep what there is of it and remember why there is no more."""
        version = self.versions.setdefault(number, Version("loading"))
        if version.model is None:
            version.state, version.reason, version.in_full = "loading", None, None
        try:
            model = await self.open_model(self.name, found)
            version.card = model.card if version.model is None else version.card
            await self.load_model(model, found)
        except SplitwayError as error:
            self._failed(version, found, error.in_full, without_paths(error.detail, found.folder))
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            self._failed(version, found, f"{found.folder} cannot be loaded: {reason}", UNSAID)
        else:
            self._succeeded(version, model, found)

    def _failed(self, version: Version, found: FoundVersion, in_full: str, reason: str) -> None:
        version.could_not = found
        if version.model is None:
            version.state = "failed"
        if version.in_full != in_full:
            version.in_full, version.reason = in_full, reason
            what = "is not served" if version.model is None else "goes on as it was before it was rewritten"
            self.news.append(f"{self.name} version {found.folder.name} {what}: {in_full}")

    def _succeeded(self, version: Version, model: ServedBundle, found: FoundVersion) -> None:
        model.start()
        if version.model is not None:
            self._in_background(_close(version.model))
        version.model, version.card, version.digest = model, model.card, found.digest
        version.reason = version.in_full = version.could_not = None
        version.stay()

    async def _leave(self, number: str) -> None:
        await asyncio.sleep(self.keep_old_s)
        self.drop(number)

    def drop(self, number: str) -> None:
        """Answer no new request with this version; close it when those that it has are done."""
        version = self.versions.pop(number, None)
        if version is None:
            return
        if self.default == number:
            self.default = next(reversed(self.callable), None)
        if version.leaving is not None and version.leaving is not asyncio.current_task():
            version.leaving.cancel()
        if version.model is not None:
            self._in_background(_close(version.model))
        self.changed()

    async def close(self) -> None:
        """Close everything, without waiting for requests."""
        leaving = [version.leaving for version in self.versions.values() if version.leaving is not None]
        for task in {*leaving, *self._closing}:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await asyncio.gather(*(model.close() for model in self.callable.values()))

    def _in_background(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task


def without_paths(detail: str, folder: Path) -> str:
    """A bundle's fault as callers may know it: files are named relative to its folder, and of
    a line that still names a path nothing is said."""
    said = detail.replace(f"{folder}/", "").replace(str(folder), "the bundle")
    return UNSAID if "/" in said else said


async def _close(model: ServedBundle) -> None:
    try:
        await model.drained()
    finally:
        await model.close()
