"""Who is in a release's share."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitway.gateway.rollout.share import in_share, point_of

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
