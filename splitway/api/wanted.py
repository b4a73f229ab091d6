"""What users want of a head's answers, and the refusal of what contradicts itself; without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from splitway.api.given import Given
from splitway.errors import ModelError, SetupError, many

Ending = Literal["softmax", "sigmoid", "raw"]
"""What is done with the numbers of a model's last layer."""
_BETWEEN = re.compile(r"[,;\t]")
"""What stands between labels that were written into one line."""
_MOST_SHOWN = 40


@dataclass(frozen=True)
class Wanted:
    """The user's options for a head's answers."""

    labels: Sequence[str] | None = None
    ending: Ending | None = None
    """What the model's own last activation says if not given."""
    threshold: float | None = None
    unsure_below: float | None = None

    @property
    def is_told(self) -> bool:
        """Whether the numbers have to mean something."""
        return self.labels is not None or self.ending in ("softmax", "sigmoid") or self.threshold is not None


def one_ending(*, softmax: bool, sigmoid: bool, raw: bool) -> Ending | None:
    """The one of three options that was chosen, if any. Raises SetupError for several."""
    chosen: dict[Ending, bool] = {"softmax": softmax, "sigmoid": sigmoid, "raw": raw}
    names = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(names) > 1:
        given = " and ".join(f"--{name}" for name in names)
        raise SetupError(f"{given} contradict each other: choose one of --softmax, --sigmoid and --raw")
    return names[0] if names else None


def check_wanted(wanted: Wanted, given: Given) -> None:
    """Refuse what makes no sense, whatever the model is. Raises SetupError."""
    check_share("--threshold", wanted.threshold)
    check_share("--unsure-below", wanted.unsure_below)
    if wanted.ending == "raw":
        given.refuse("threshold", "unsure_below", because="--raw serves numbers, of which none is a probability")
    if wanted.ending == "softmax":
        given.refuse("threshold", because="with --softmax one of the labels is right, and all of them are given")


def check_count(labels: Sequence[str] | None, classes: int | None) -> None:
    """Raise ModelError for labels that are not one for each class; one number may tell two classes apart."""
    if labels is None or classes in (None, len(labels)) or (classes == 1 and len(labels) == 2):
        return
    do = "one a line is needed"
    if len(labels) == 1 and (_BETWEEN.search(labels[0]) or len(labels[0].split()) == classes):
        do = f"each needs a line of its own, and {_shortened(labels[0])!r} is one line"
    has = "1 class" if classes == 1 else f"{classes} classes"
    raise ModelError(f"{many(len(labels), 'label')} for the model's {has}: {do}")


def same_labels(labels: Sequence[str]) -> dict[int, int]:
    """Each class whose label an earlier one has too, with the first of these: nothing tells their answers apart."""
    firsts: dict[str, int] = {}
    pairs = ((number, firsts.setdefault(label, number)) for number, label in enumerate(labels))
    return {number: first for number, first in pairs if number != first}


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def check_share(option: str, value: float | None) -> None:
    """Raise SetupError for what is no probability."""
    if value is not None and not 0 <= value <= 1:
        raise SetupError(f"{option} must be a probability from 0 to 1, not {value:g}")
