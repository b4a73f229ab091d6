"""What Keras has to say of a failure is whole, and in one line."""

from __future__ import annotations

import pytest

from splitway.splitter.readers.reasons import reason_of

DEEP = (
    "<class 'Functional'> could not be deserialized properly.\n\nconfig={'name': 'm'}.\n\n"
    "Exception encountered: Error when deserializing class 'DepthwiseConv2D' using config={'groups': 1}.\n\n"
    "Exception encountered: Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}"
)
CALLED = (
    "Exception encountered when calling Conv2D.call().\n\n\x1b[1mComputed output size would be negative.\x1b[0m\n\n"
    "Arguments received by Conv2D.call():\n  • args=('<KerasTensor>',)"
)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (DEEP, "Unrecognized keyword arguments passed to DepthwiseConv2D: {'groups': 1}"),
        (CALLED, "in Conv2D: Computed output size would be negative."),
        ("plain", "plain"),
        ("", "ValueError"),
        ("x" * 900, "x" * 400 + "…"),
    ],
    ids=["wrapped", "called", "plain", "nothing", "long"],
)
def test_the_innermost_reason_is_given(said: str, reason: str) -> None:
    assert reason_of(ValueError(said)) == reason
