"""What users want of answers, where it contradicts itself."""

from __future__ import annotations

import pytest

from splitway.api.given import Given
from splitway.api.wanted import Wanted, check_wanted, one_ending
from splitway.errors import SetupError


def test_one_ending_is_chosen_at_most() -> None:
    assert one_ending(softmax=False, sigmoid=True, raw=False) == "sigmoid"
    assert one_ending(softmax=False, sigmoid=False, raw=False) is None
    with pytest.raises(SetupError, match="--softmax and --raw contradict each other"):
        one_ending(softmax=True, sigmoid=False, raw=True)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(threshold=1.5), "--threshold must be a probability from 0 to 1, not 1.5"),
        (Wanted(unsure_below=float("nan")), "--unsure-below must be a probability"),
        (Wanted(ending="raw", threshold=0.5), "--threshold has no effect: --raw serves numbers"),
        (Wanted(ending="softmax", threshold=0.5), "--threshold has no effect: with --softmax one"),
    ],
)
def test_what_has_no_effect_or_is_no_probability_is_refused(wanted: Wanted, said: str) -> None:
    given = {"threshold": "--threshold"} if wanted.threshold is not None else {}
    with pytest.raises(SetupError, match=said):
        check_wanted(wanted, Given(given))
