"""What an answer says of the classes of a head, of one class and of several labels."""

from __future__ import annotations

from splitway.answers.classes.predictions import Prediction, in_answer, most_classes, reaching
from splitway.wire.tensor import TensorSpec

FOUND = [Prediction("sun", 2, 0.9), Prediction("sea", 0, 0.5), Prediction("rain", 1, 0.2)]


def test_of_a_head_of_one_class_all_that_was_asked_for_is_given_and_nothing_else_is_said() -> None:
    assert in_answer(FOUND, None) == {"label": "sun", "confidence": 0.9, "predictions": FOUND}


def test_a_multi_label_head_gives_the_labels_that_reach_its_threshold() -> None:
    assert list(in_answer(FOUND, 0.5).items()) == [
        ("label", "sun"),
        ("confidence", 0.9),
        ("predictions", FOUND[:2]),
        ("multi_label", True),
        ("threshold", 0.5),
    ]


def test_where_no_label_reaches_it_the_first_is_null() -> None:
    said = in_answer(FOUND, 0.95)
    assert (said["label"], said["confidence"], said["predictions"]) == (None, None, [])


def test_a_threshold_of_nought_is_one() -> None:
    assert reaching(FOUND, 0.0) == FOUND
    assert "multi_label" in in_answer(FOUND, 0.0)


def test_the_classes_of_a_head_are_counted_where_it_says_them() -> None:
    assert most_classes([TensorSpec("probabilities", "FP32", (-1, 7))]) == 7
    assert most_classes([TensorSpec("probabilities", "FP32", (-1, -1))]) > 1_000_000
