"""What a cut is proved on, and what the uncut model answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from splitway.names import PROBABILITIES
from splitway.splitter.cut import CutModel
from splitway.splitter.names import unique_names
from splitway.splitter.proof.prove import Answers, are_probabilities, are_shares

_OTHER = "output"
"""What an output is called that has the name of probabilities and is none."""


@dataclass(frozen=True)
class Question:
    """Inputs, the answers to them, and how far another answer may be from those."""

    inputs: Answers
    expected: Answers
    tolerance: float


def as_classifier(cut: CutModel, question: Question) -> tuple[CutModel, Question]:
    """Call a classifier's one output what it is, and an output `probabilities` that is none something else."""
    if are_probabilities(question.expected):
        names = [PROBABILITIES]
    else:
        expected = question.expected.items()
        names = [_OTHER if n == PROBABILITIES and not are_shares(array) else n for n, array in expected]
    wires = unique_names(list(zip(names, cut.parts[-1].gives.values(), strict=True)))
    last = replace(cut.parts[-1], gives=wires)
    expected_now = dict(zip(wires, question.expected.values(), strict=True))
    return replace(cut, parts=(*cut.parts[:-1], last)), replace(question, expected=expected_now)
