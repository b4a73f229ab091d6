"""What users want of answers, where it contradicts itself."""

from __future__ import annotations

import pytest

from splitway.api.given import Given
from splitway.api.wanted import Wanted, check_count, check_wanted, one_ending, same_labels
from splitway.errors import ModelError, SetupError


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


@pytest.mark.parametrize("line", ["circle,square,triangle", "circle; square", "circle square triangle"])
def test_labels_in_one_line_are_told_to_be_one_a_line(line: str) -> None:
    with pytest.raises(ModelError, match=rf"1 label for the model's 3 classes: .*'{line}' is one line"):
        check_count([line], 3)
    with pytest.raises(ModelError, match="1 label for the model's 3 classes: one a line is needed"):
        check_count(["great shark"], 3)


def test_two_labels_of_one_number_are_two_classes_and_three_are_not() -> None:
    check_count(["no", "yes"], 1)
    with pytest.raises(ModelError, match="3 labels for the model's 1 class: one a line"):
        check_count(["no", "yes", "maybe"], 1)


def test_classes_of_one_label_are_found() -> None:
    assert same_labels(["crane", "cat", "crane", "cat", "crane"]) == {2: 0, 3: 1, 4: 0}
