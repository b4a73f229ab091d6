"""Which release a request belongs to, and the end of a trial that goes badly."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from splitway.errors import InvalidInput, SetupError
from splitway.gateway.fleet.router import Pins, Want
from splitway.gateway.resilience import Chance
from splitway.gateway.rollout.file import ReleaseFile
from splitway.gateway.rollout.record import ReleaseRecord, RollbackPolicy, too_bad
from splitway.names import CANARY_HEADER, KEY_HEADER, RELEASE_HEADER
from splitway.releases import Releases, Trial
from splitway.wire.deadline import Clock

_log = logging.getLogger(__name__)
_POINTS = 1 << 64
Reach = Callable[[Want], frozenset[str]]
Wanted = Callable[[Pins | None], Iterable[str]]


class ReleaseRole(StrEnum):
    """How a request came to its release."""

    FREE = "free"
    """There is no release: the newest versions that belong together."""
    NAMED = "named"
    CURRENT = "current"
    CANARY = "canary"
    SHADOW = "shadow"


class Choice(NamedTuple):
    """The release of one request."""

    role: ReleaseRole = ReleaseRole.FREE
    pins: Pins | None = None
    on_trial: bool = False
    """Whether its versions are others than the current release's: what they do must not touch other requests."""
    counts: bool = True
    """Whether it counts for the release: requests whose caller chose the release do not."""


class Rollout:
    """The releases file in force.

    Args:
        file: where releases are written down; None for a gateway without releases.
        policy: when a trial ends by itself.
        reach: which of the wanted heads can be served now.
    """

    def __init__(
        self, file: ReleaseFile | None, policy: RollbackPolicy, clock: Clock, chance: Chance, reach: Reach
    ) -> None:
        self._file = file
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._reach = reach
        self._releases = Releases()
        self._pins: dict[str, Pins] = {}
        self._in_force: Pins | None = None
        self._has_begun = False
        self._records: dict[str, ReleaseRecord] = {}
        self._withdrawn: dict[Trial, str] = {}
        """Trials that have ended by themselves, and why; kept until the file no longer names them."""
        self._unwritten: str | None = None
        self.rollbacks = 0

    async def poll(self) -> None:
        """Write down what has ended, then take in what others have written."""
        if self._file is None:
            return
        for trial, reason in list(self._withdrawn.items()):
            await self._write_down(self._file, trial, reason)
        await asyncio.to_thread(self._file.read)
        if self._file.releases is not self._releases:
            self._take_over(self._file.releases)
        self._in_force = self._due

    async def _write_down(self, file: ReleaseFile, trial: Trial, reason: str) -> None:
        problem = None
        try:
            await asyncio.to_thread(file.withdraw, trial, reason)
        except SetupError as error:
            problem = f"{trial.release!r} is rolled back in this gateway's memory alone: {error.detail}"
            if problem != self._unwritten:
                _log.error("%s", problem)
        self._unwritten = problem

    def _take_over(self, releases: Releases) -> None:
        """Put other releases in force; a trial that begins anew has a clean record."""
        under_way = {(trial.release, trial.since) for trial in _trials(self._releases)}
        for trial in _trials(releases):
            if (trial.release, trial.since) not in under_way:
                self._records.pop(trial.release, None)
        before = self._releases.releases
        self._pins = {
            name: self._pins[name] if before.get(name) == release else Pins(name, release)
            for name, release in releases.releases.items()
        }
        self._releases = releases
        if not self._has_begun:
            self._in_force, self._has_begun = self._named_current, True
        self._records = {name: record for name, record in self._records.items() if name in self._pins}
        self._withdrawn = {trial: why for trial, why in self._withdrawn.items() if trial in _trials(releases)}

    @property
    def canary(self) -> Trial | None:
        return self._unless_withdrawn(self._releases.canary)

    @property
    def shadow(self) -> Trial | None:
        return self._unless_withdrawn(self._releases.shadow)

    def _unless_withdrawn(self, trial: Trial | None) -> Trial | None:
        return None if trial is None or trial in self._withdrawn else trial

    @property
    def current(self) -> Choice:
        """The release of requests that select none, as of now."""
        pins = self._due
        return Choice() if pins is None else Choice(ReleaseRole.CURRENT, pins)

    @property
    def _due(self) -> Pins | None:
        """The release in force, or the one that the file newly names, once it can take over.

        It can when all its heads can be reached, or some while the old one reaches none.
        """
        named, old = self._named_current, self._in_force
        if named is None or named is old:
            return named
        reached = self._reached(named)
        old_is_lost = old is not None and not self._reached(old)
        return named if reached == named.versions.heads.keys() or (reached and old_is_lost) else old

    @property
    def _named_current(self) -> Pins | None:
        name = self._releases.current
        return None if name is None else self._pins[name]

    def _reached(self, pins: Pins) -> frozenset[str]:
        return self._reach(Want(frozenset(pins.versions.heads), pins))

    def _serves(self, pins: Pins, heads: Iterable[str]) -> bool:
        wanted = frozenset(heads)
        return bool(wanted) and self._reach(Want(wanted, pins)) == wanted

    def choose(self, headers: Mapping[str, str], wanted: Wanted) -> Choice:
        """Decide on the one release of a request.

        Args:
            headers: the request's, by lower-case name.
            wanted: the heads that the request asks of a release; a canary that cannot serve what it would ask of the
                current one gets none.

        Raises:
            InvalidInput: the request names a release or a side that there is not, or no head where it must.
        """
        side = headers.get(CANARY_HEADER)
        if side not in (None, "always", "never"):
            raise InvalidInput(f"{CANARY_HEADER} must be always or never, not {side[:40]!r}")
        current = self.current
        self._in_force = current.pins
        named = headers.get(RELEASE_HEADER)
        if named is not None:
            if named not in self._pins:
                known = ", ".join(self._pins) or "none"
                raise InvalidInput(f"there is no release {named[:80]!r}; the releases are: {known}")
            pins = self._pins[named]
            return Choice(ReleaseRole.NAMED, pins, on_trial=pins is not current.pins, counts=False)
        canary, counts = self.canary, side is None
        if canary is not None and self._is_on_its_side(canary, headers):
            pins = self._pins[canary.release]
            if pins is not current.pins and self._serves(pins, wanted(current.pins)):
                return Choice(ReleaseRole.CANARY, pins, on_trial=True, counts=counts)
        return current if counts else current._replace(counts=False)

    def _is_on_its_side(self, canary: Trial, headers: Mapping[str, str]) -> bool:
        side = headers.get(CANARY_HEADER)
        if side is not None:
            return side == "always"
        return in_share(canary.percent, canary.release, headers.get(KEY_HEADER), self._chance)

    def shadow_of(self, choice: Choice, heads: Iterable[str]) -> Choice | None:
        """The release by which these heads are to answer beside, unseen; None if there is none for this request."""
        trial = self.shadow
        if trial is None or choice.role is not ReleaseRole.CURRENT or not choice.counts:
            return None
        if self._chance() * 100 >= trial.percent or not self._serves(self._pins[trial.release], heads):
            return None
        return Choice(ReleaseRole.SHADOW, self._pins[trial.release], on_trial=True)

    def ended(self, choice: Choice, *, failed: bool) -> None:
        """Count how a request of a release ended."""
        if choice.pins is None or not choice.counts:
            return
        self._record(choice.pins.release).ended(self._clock(), failed=failed)
        self._judge()

    def compared(self, release: str, *, agreed: bool, drift: float) -> None:
        """Count a comparison of a release on trial with the current one."""
        self._record(release).compared(self._clock(), agreed=agreed, drift=drift)
        self._judge()

    def _record(self, release: str) -> ReleaseRecord:
        return self._records.setdefault(release, ReleaseRecord(self._policy.window_s))

    def _judge(self) -> None:
        """Withdraw a trial that goes too badly: at once here, and in the file at the next poll."""
        in_force = "" if self._in_force is None else self._in_force.release
        current = self._record(in_force)
        for trial in (self.canary, self.shadow):
            if trial is None or trial.release == in_force:
                continue
            reason = too_bad(self._record(trial.release), current, self._policy, self._clock())
            if reason is not None:
                self._withdrawn[trial] = reason
                self.rollbacks += 1
                _log.warning("release %s is rolled back: %s", trial.release, reason)

    def releases(self) -> dict[str, ReleaseRecord]:
        """The records of the releases that have had requests."""
        return {name: record for name, record in self._records.items() if name in self._pins}

    def shares(self) -> dict[tuple[str, ReleaseRole], float]:
        """Percent of the requests that each release gets, by what it is."""
        trials = (self.canary, ReleaseRole.CANARY), (self.shadow, ReleaseRole.SHADOW)
        shares = {(trial.release, role): trial.percent for trial, role in trials if trial is not None}
        if (pins := self.current.pins) is not None:
            shares[pins.release, ReleaseRole.CURRENT] = 100 - (0.0 if self.canary is None else self.canary.percent)
        return shares

    def describe(self) -> dict[str, Any]:
        """As `/v1/pipeline` shows it."""
        now_s, pins = self._clock(), self.current.pins
        shares = {name: (role, percent) for (name, role), percent in self.shares().items()}
        return {
            "current": None if pins is None else pins.release,
            "pending": None if self._named_current is pins else self._releases.current,
            "previous": self._releases.previous,
            "canary": self.canary,
            "shadow": self.shadow,
            "rolled_back": {trial.release: reason for trial, reason in self._withdrawn.items()},
            "problem": self._unwritten or (None if self._file is None else self._file.problem),
            "releases": {
                name: {
                    "extractor": pins.versions.extractor,
                    "heads": pins.versions.heads,
                    "feature_space": pins.versions.feature_space,
                    "served": self._serves(pins, pins.versions.heads),
                    **dict(zip(("part", "share"), shares.get(name, (None, None)), strict=True)),
                    **self._records.get(name, ReleaseRecord(self._policy.window_s)).describe(now_s),
                }
                for name, pins in self._pins.items()
            },
        }


def _trials(releases: Releases) -> list[Trial]:
    return [trial for trial in (releases.canary, releases.shadow) if trial is not None]


def point_of(key: str, release: str) -> float:
    """Where a key stands for a release, from 0 up to 100; keys are spread evenly, and anew for each release."""
    digest = hashlib.sha256(f"{release}\0{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _POINTS * 100


def in_share(percent: float, release: str, key: str | None, chance: Chance) -> bool:
    """Whether a request belongs to a release's share. As the share grows, keys move only into it."""
    point = chance() * 100 if key is None else point_of(key, release)
    return point < percent
