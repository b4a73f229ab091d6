"""Every model that a process serves, by name and version, kept in step with the folder of bundles."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import Any

from splitway.bundle import Bundle, find_bundle
from splitway.errors import BundleError, EngineFailed, NotFound, SetupError, SplitwayError
from splitway.http.body_budget import BodyBudget
from splitway.http.lifecycle import Lifecycle
from splitway.no_bundles import advice, makes
from splitway.runtime.batching.threads import STOPS_WITHIN_S, DaemonThreads
from splitway.runtime.catalog.catalog import FoundVersion, Scope, Versions, has_changed, in_use, look, newest_first
from splitway.runtime.catalog.directory import Directory
from splitway.runtime.catalog.served import MakeStage, ServedBundle, open_bundle
from splitway.runtime.catalog.versions import ModelVersions, Version
from splitway.runtime.catalog.watchdog import Watchdog
from splitway.runtime.decode_room import DecodeRoom
from splitway.runtime.engines.cores import available_cores
from splitway.runtime.observe import StageTelemetry
from splitway.runtime.settings import StageSettings
from splitway.security.networks import address_of
from splitway.telemetry.families import Readings

_log = logging.getLogger(__name__)
WARMING_UP = "warming up"


class Repository:
    """Loads what lies in the folder of bundles, and follows it; what callers see of that is its `directory`.

    Everything here happens on the event loop, but for looking, reading, hashing and loading: one thread does that, and
    gives way to what answers.

    Args:
        scope: which bundles are served.
        make_stage: the service's own part.
        settings: the process's.
    """

    def __init__(self, scope: Scope, make_stage: MakeStage, settings: StageSettings) -> None:
        self.scope = replace(scope, keys=settings.trusted_keys)
        self.lifecycle = Lifecycle(self._not_ready_because)
        self._room = DecodeRoom(settings.decode_memory_bytes, available_cores())
        self.telemetry = StageTelemetry(scope.name, settings, self.lifecycle, self._room)
        self.directory = Directory(self.lifecycle, self.telemetry)
        self.models = self.directory.models
        self._make_stage = make_stage
        self._settings = settings
        share, least_rate = settings.body_memory_share, settings.body_least_rate
        self._bodies = BodyBudget(settings.body_memory_bytes, share, address_of, least_rate)
        self.telemetry.registry.register(Readings(partial(self._bodies.metrics, "splitway_stage")))
        self._found: dict[str, dict[str, FoundVersion]] = {}
        self._in_use: dict[str, set[str]] = {}
        self._said: set[str] = set()
        self._first_load_is_over = False
        self._lock = asyncio.Lock()
        self._thread = DaemonThreads(1, "load")
        self._watchdog = Watchdog(settings.max_run_s, self.lifecycle, self.directory.answering)
        self._following: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Look whether there is something to serve, before anything listens: of each name the newest whole bundle.

        Raises:
            BundleError: there is not: no bundle of the process's own name is whole, or where every head is served, none
                of any head; or the version that the settings name is missing or damaged.
        """
        settings, scope = self._settings, self.scope
        pinned = settings.model_version
        if not scope.every_name or pinned is not None:
            find_bundle(settings.models, scope.name, pinned)
        errors: dict[str, BundleError] = {}
        found = look(settings.models, scope) if settings.models.is_dir() else {}
        for name, versions in found.items():
            numbers = [pinned] if pinned is not None and name == scope.name else newest_first(versions)
            for number in numbers:
                try:
                    model = self._served(open_bundle(versions[number], name, scope))
                except BundleError as error:
                    errors.setdefault(name, error)
                else:
                    self._of(name).versions[number] = Version("loading", card=model.card)
                    break
        if not self.models:
            raise errors.get(scope.name) or next(iter(errors.values()), None) or self._no_bundle()

    def start(self) -> None:
        self._following = asyncio.create_task(self._follow(), name="follow bundles")
        self._watchdog.start()

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)
        for model in self.models.values():
            await model.close()
        self._watchdog.stop(loading=not await asyncio.to_thread(self._thread.join, STOPS_WITHIN_S))
        self.telemetry.watch.ended.settle()
        await asyncio.to_thread(self.telemetry.tracer.close)

    async def rescan(self) -> None:
        """Bring what is loaded in step with what lies in the folder of bundles."""
        async with self._lock:
            await self._look()
            names = sorted({*self._found, *self.models}, key=lambda name: (name != self.scope.name, name))
            for name in names:
                await self._settle(name)

    async def load(self, name: str, version: str | None) -> None:
        """Load a version, or the newest, and keep it.

        Raises:
            NotFound: there is none.
            EngineFailed: it cannot be loaded.
        """
        async with self._lock:
            await self._look()
            versions = self._versions_found(name)
            number = version or next(iter(newest_first(versions)), None)
            if number is None or number not in versions:
                raise NotFound(f"there is no bundle of model {name[:80]!r}, version {(version or 'any')[:20]!r}")
            model = self._of(name)
            model.unloaded.discard(number)
            model.asked.add(number)
            if number in model.versions:
                model.versions[number].could_not = None
            await self._settle(name)
            loaded = model.versions[number]
            if loaded.could_not is not None:
                why = loaded.reason or "the model could not be loaded"
                raise EngineFailed(why, stage=name, private=loaded.in_full or "")

    async def unload(self, name: str, version: str | None) -> None:
        """Take no new request for a version, or for every version, until it is loaded explicitly.

        Raises:
            NotFound: there is none.
        """
        async with self._lock:
            known = {*self._versions_found(name), *(self.models[name].versions if name in self.models else ())}
            if not known or version not in (None, *known):
                raise NotFound(f"there is no model {name[:80]!r}, version {(version or 'any')[:20]!r} here")
            model = self._of(name)
            numbers = known if version is None else {version}
            model.unloaded |= numbers
            model.asked -= numbers
            for number in numbers:
                model.drop(number)
            await self._settle(name)

    async def _follow(self) -> None:
        """Load everything, then look again every so often."""
        await self._rescan_or_say_why()
        self._first_load_is_over = True
        self._room.look()
        if not any(model.default for model in self._needed):
            failures = [model.failure for model in self._needed if model.failure is not None]
            self.lifecycle.failure = failures[0] if failures else self._no_bundle().detail
            return
        for name in self.models:
            self._tell(name)
        while self._settings.rescan_ms:
            await asyncio.sleep(self._settings.rescan_ms / 1000)
            await self._rescan_or_say_why()

    async def _rescan_or_say_why(self) -> None:
        """Whatever is wrong with the folder, what is loaded is served, and the folder is looked at again."""
        try:
            await self.rescan()
        except Exception as error:
            self._say_once(f"the folder of bundles cannot be followed: {error}")

    async def _look(self) -> None:
        """Look at the disk, in the thread."""
        settings = self._settings
        self._found = await self._in_thread(look, settings.models, self.scope, list(self.models))
        try:
            held = await self._in_thread(in_use, settings.releases_file, self.scope.role)
        except SetupError as error:
            self._say_once(error.detail)
            return
        if held is not None:
            self._in_use = held
        elif self._in_use:
            self._say_once(f"{settings.releases_file} is gone; the versions that it named stay loaded")

    async def _settle(self, name: str) -> None:
        """Bring one name in step with what was found.

        A head whose folder is gone while others are there was taken away. A process that finds nothing at all serves on
        with what it has: its volume is away, or its bundles are being replaced.
        """
        is_away = not self.scope.every_name or not any(self._found.values())
        in_use = self._in_use.get(name, ())
        await self._of(name).settle(self._versions_found(name), in_use, may_be_away=is_away)
        self._tell(name)

    def _versions_found(self, name: str) -> Versions:
        return self._found.get(name, {})

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _open(self, name: str, found: FoundVersion) -> ServedBundle:
        return self._served(await self._in_thread(open_bundle, found, name, self.scope))

    def _served(self, bundle: Bundle) -> ServedBundle:
        shared = self._watchdog.runs, self._bodies, self._room
        return ServedBundle(bundle, self._make_stage, self._settings, self.telemetry.watch, *shared)

    async def _load(self, model: ServedBundle, found: FoundVersion) -> None:
        await self._in_thread(model.load)
        if await self._in_thread(has_changed, found):
            raise BundleError(f"{found.folder} was rewritten while it was being loaded")

    def _of(self, name: str) -> ModelVersions:
        if name not in self.models:
            self.models[name] = ModelVersions(
                name,
                self._open,
                self._load,
                self.directory.publish,
                pinned=self._settings.model_version if name == self.scope.name else None,
                keep_old_s=self._settings.keep_old_s,
            )
            self.telemetry.serve(name, self.models[name].busy)
        return self.models[name]

    @property
    def _needed(self) -> list[ModelVersions]:
        """The models of which one must be there for the process to be of use."""
        return [model for name, model in self.models.items() if self.scope.every_name or name == self.scope.name]

    def _not_ready_because(self) -> str | None:
        if not self._first_load_is_over:
            return WARMING_UP
        if not any(model.default for model in self._needed):
            return f"no version of {self.scope.name} is loaded"
        return None

    def _no_bundle(self) -> SplitwayError:
        folder, models = self._settings.models / self.scope.name, self._settings.models
        return BundleError(f"no bundle at {folder}/<version>; {advice(models) or makes(models)}")

    def _tell(self, name: str) -> None:
        """Log what went wrong, once the process knows that it can go on all the same."""
        if self._first_load_is_over:
            for line in self.models[name].news:
                _log.error("%s", line)
            self.models[name].news.clear()

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            _log.warning("%s", line)
