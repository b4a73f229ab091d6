"""The inputs of a proof, and the answers of the uncut model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from splitway.names import PROBABILITIES
from splitway.splitter.cut import CutModel
from splitway.splitter.names import unique_names
from splitway.splitter.proof.prove import Answers, are_probabilities, are_shares

_OTHER = "output"
"""The new name of an output that is called `probabilities` but holds none."""


@dataclass(frozen=True)
class Question:
    """Inputs, the answers to them, and the largest allowed difference from those."""

    inputs: Answers
    expected: Answers
    tolerance: float


def as_classifier(cut: CutModel, question: Question) -> tuple[CutModel, Question]:
    """Name the one output of a classifier `probabilities`, and rename an output of that name that holds none."""
    if are_probabilities(question.expected):
        names = [PROBABILITIES]
    else:
        expected = question.expected.items()
        names = [_OTHER if n == PROBABILITIES and not are_shares(array) else n for n, array in expected]
    wires = unique_names(list(zip(names, cut.parts[-1].gives.values(), strict=True)))
    last = replace(cut.parts[-1], gives=wires)
    expected_now = dict(zip(wires, question.expected.values(), strict=True))
    return replace(cut, parts=(*cut.parts[:-1], last)), replace(question, expected=expected_now)
