"""The release of each request, and a trial's record, in virtual time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from splitway.gateway.fleet.router import Pins
from splitway.gateway.rollout.file import ReleaseFile
from splitway.gateway.rollout.record import RollbackPolicy
from splitway.gateway.rollout.rollout import Part, Rollout
from tests.gateway.resilience.support import Chance, Clock
from tests.gateway.versioned import release, trial, write

BOTH = {"one": release("1"), "two": release("2")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "releases.json"


@pytest.fixture
def rollout(path: Path) -> Rollout:
    return Rollout(
        ReleaseFile(path),
        RollbackPolicy(window_s=60),
        Clock(),
        Chance(0.0, 0.999),
        lambda want: want.heads & {"classifier"},
    )


def _asked(_: Pins | None) -> tuple[str, ...]:
    return ("classifier",)


async def test_a_trial_that_begins_anew_has_a_clean_record_and_a_larger_share_the_same(
    rollout: Rollout, path: Path
) -> None:
    write(path, BOTH, current="one", canary=trial("two", 10.0))
    await rollout.poll()
    choice = rollout.choose({}, _asked)
    for _ in range(10):
        rollout.ended(choice, failed=True)
    write(path, BOTH, current="one", canary=trial("two", 50.0))
    await rollout.poll()
    assert rollout.releases()["two"].requests(1000.0) == 10
    write(path, BOTH, current="one", canary=trial("two", 50.0, since="2026-11-25T08:00:00Z"))
    await rollout.poll()
    assert "two" not in rollout.releases()


async def test_a_trial_that_was_withdrawn_may_begin_anew(rollout: Rollout, path: Path) -> None:
    write(path, BOTH, current="one", canary=trial("two"))
    await rollout.poll()
    choice = rollout.choose({}, _asked)
    assert choice.part is Part.CANARY
    for _ in range(20):
        rollout.ended(choice, failed=True)
    assert rollout.choose({}, _asked).part is Part.CURRENT
    await rollout.poll()
    assert rollout.describe()["canary"] is None
    write(path, BOTH, current="one", canary=trial("two", since="2026-11-25T08:00:00Z"))
    await rollout.poll()
    assert rollout.choose({}, _asked).part is Part.CANARY
    assert rollout.rollbacks == 1


async def test_requests_that_name_their_release_decide_nothing(rollout: Rollout, path: Path) -> None:
    write(path, BOTH, current="one", canary=trial("two"))
    await rollout.poll()
    named = rollout.choose({"x-splitway-release": "two"}, _asked)
    for _ in range(100):
        rollout.ended(named, failed=True)
    assert rollout.canary is not None


async def test_without_a_key_chance_decides_and_what_is_not_served_gets_nothing(rollout: Rollout, path: Path) -> None:
    write(path, BOTH, current="one", canary=trial("two", 50.0))
    await rollout.poll()
    sides = Counter(rollout.choose({}, _asked).part for _ in range(10))
    assert sides == {Part.CANARY: 5, Part.CURRENT: 5}
    assert {rollout.choose({}, lambda _: ("digits",)).part for _ in range(10)} == {Part.CURRENT}


async def test_only_the_current_releases_requests_are_shadowed(rollout: Rollout, path: Path) -> None:
    write(path, BOTH, current="one", shadow=trial("two"))
    await rollout.poll()
    shadow = rollout.shadow_of(rollout.choose({}, _asked), ["classifier"])
    assert shadow is not None
    assert (shadow.part, shadow.on_trial) == (Part.SHADOW, True)
    assert rollout.shadow_of(rollout.choose({"x-splitway-release": "two"}, _asked), ["classifier"]) is None
    assert rollout.shares() == {("one", Part.CURRENT): 100.0, ("two", Part.SHADOW): 100.0}
