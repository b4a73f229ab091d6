"""The release of each request, its share of them, and a trial's record, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitway.gateway.fleet.router import Pins, Want
from splitway.gateway.rollout.file import ReleaseFile
from splitway.gateway.rollout.record import RollbackPolicy
from splitway.gateway.rollout.rollout import ReleaseRole, Rollout, in_share, point_of
from splitway.releases import Releases
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
    assert rollout.releases()["two"].outcomes.counts(1000.0).calls == 10
    write(path, BOTH, current="one", canary=trial("two", 50.0, since="2026-11-25T08:00:00Z"))
    await rollout.poll()
    assert "two" not in rollout.releases()


async def test_a_trial_that_was_withdrawn_may_begin_anew(rollout: Rollout, path: Path) -> None:
    write(path, BOTH, current="one", canary=trial("two"))
    await rollout.poll()
    choice = rollout.choose({}, _asked)
    assert choice.role is ReleaseRole.CANARY
    for _ in range(20):
        rollout.ended(choice, failed=True)
    assert rollout.choose({}, _asked).role is ReleaseRole.CURRENT
    await rollout.poll()
    assert rollout.describe()["canary"] is None
    write(path, BOTH, current="one", canary=trial("two", since="2026-11-25T08:00:00Z"))
    await rollout.poll()
    assert rollout.choose({}, _asked).role is ReleaseRole.CANARY
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
    sides = Counter(rollout.choose({}, _asked).role for _ in range(10))
    assert sides == {ReleaseRole.CANARY: 5, ReleaseRole.CURRENT: 5}
    assert {rollout.choose({}, lambda _: ("digits",)).role for _ in range(10)} == {ReleaseRole.CURRENT}


async def test_only_the_current_releases_requests_are_shadowed(rollout: Rollout, path: Path) -> None:
    write(path, BOTH, current="one", shadow=trial("two"))
    await rollout.poll()
    shadow = rollout.shadow_of(rollout.choose({}, _asked), ["classifier"])
    assert shadow is not None
    assert (shadow.role, shadow.on_trial) == (ReleaseRole.SHADOW, True)
    assert rollout.shadow_of(rollout.choose({"x-splitway-release": "two"}, _asked), ["classifier"]) is None
    assert rollout.shares() == {("one", ReleaseRole.CURRENT): 100.0, ("two", ReleaseRole.SHADOW): 100.0}


class _File:
    """A releases file in memory."""

    problem = None

    def __init__(self) -> None:
        self.releases = Releases()

    def read(self) -> None:
        """It is always up to date."""

    def withdraw(self, *_: object) -> None:
        """What is withdrawn stays so in the rollout's memory."""


NAMES = ("one", "two")
STEP = st.one_of(
    st.tuples(st.just("names"), st.sampled_from(NAMES), st.sampled_from([None, *NAMES])),
    st.tuples(
        st.just("reached"), st.sampled_from(NAMES), st.sampled_from([(), ("classifier",), ("classifier", "pets")])
    ),
    st.tuples(st.just("choose"), st.sampled_from([None, "always", "never"]), st.integers(1, 20)),
)


def _look(rollout: Rollout) -> Any:
    return rollout.current, rollout.canary, rollout.shadow, rollout.shares(), rollout.describe(), rollout.releases()


async def _follow(steps: list[tuple[str, Any, Any]]) -> None:
    """Take the same steps with two rollouts, of which one is looked at after each."""
    file, reached, clock = _File(), dict.fromkeys(NAMES, frozenset[str]()), Clock()
    content: Any = {"format": 1, "releases": {name: release("1", "classifier", "pets") for name in NAMES}}

    def reach(want: Want) -> frozenset[str]:
        return want.heads & reached[want.pins.release] if want.pins is not None else want.heads

    def make() -> Rollout:
        anything: Any = file
        return Rollout(anything, RollbackPolicy(window_s=60), clock, Chance(0.0, 0.999), reach)

    looked_at, left_alone = make(), make()
    for what, one, two in steps:
        clock.now_s += 1
        if what == "names":
            canary = None if two is None else trial(two, 50.0)
            file.releases = Releases.model_validate({**content, "current": one, "canary": canary})
            await looked_at.poll()
            await left_alone.poll()
        elif what == "reached":
            reached[one] = frozenset(two)
        else:
            headers = {} if one is None else {"x-splitway-canary": one}
            for _ in range(two):
                choices = [each.choose(headers, _asked) for each in (looked_at, left_alone)]
                assert [str(choice.role) for choice in choices] == [str(choices[0].role)] * 2
                assert len({choice.pins and choice.pins.release for choice in choices}) == 1
                for rollout, choice in zip((looked_at, left_alone), choices, strict=True):
                    rollout.ended(choice, failed=choice.role is ReleaseRole.CANARY)
        assert _look(looked_at) == _look(looked_at)
    assert looked_at.describe() == left_alone.describe()
    assert looked_at.shares() == left_alone.shares()
    assert looked_at.releases().keys() == left_alone.releases().keys()
    assert looked_at.rollbacks == left_alone.rollbacks


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_looking_at_a_rollout_changes_nothing_that_follows(steps: list[tuple[str, Any, Any]]) -> None:
    asyncio.run(_follow(steps))


KEYS = [f"caller-{random.Random(seed).getrandbits(64):x}" for seed in range(10_000)]


def _never() -> float:
    raise AssertionError("a key leaves nothing to chance")


@pytest.mark.parametrize("percent", [1.0, 10.0, 50.0, 90.0])
def test_the_share_of_ten_thousand_keys_is_what_was_asked_for(percent: float) -> None:
    share = percent / 100
    found = sum(in_share(percent, "winter", key, _never) for key in KEYS)
    assert abs(found - 10_000 * share) < 4 * (10_000 * share * (1 - share)) ** 0.5


@given(st.text(), st.floats(0.001, 100), st.floats(0.001, 100))
def test_a_key_stays_on_its_side_and_a_larger_share_only_takes_keys_in(key: str, one: float, two: float) -> None:
    smaller, larger = sorted((one, two))
    before = in_share(smaller, "winter", key, _never)
    assert before == in_share(smaller, "winter", key, _never)
    assert in_share(larger, "winter", key, _never) or not before
    assert in_share(100, "winter", key, _never)


def test_another_release_takes_other_keys() -> None:
    both = sum(point_of(key, "winter") < 10 and point_of(key, "spring") < 10 for key in KEYS)
    assert abs(both - 100) < 4 * 100**0.5


def test_without_a_key_chance_decides() -> None:
    dice = random.Random(3).random
    found = sum(in_share(10, "winter", None, dice) for _ in range(10_000))
    assert abs(found - 1000) < 4 * 900**0.5
