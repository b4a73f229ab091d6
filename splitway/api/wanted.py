"""What users want of a head's answers, and the refusal of what contradicts itself; without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from splitway.api.given import Given
from splitway.errors import SetupError

Ending = Literal["softmax", "sigmoid", "raw"]
"""What is done with the numbers of a model's last layer."""


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


def check_share(option: str, value: float | None) -> None:
    """Raise SetupError for what is no probability."""
    if value is not None and not 0 <= value <= 1:
        raise SetupError(f"{option} must be a probability from 0 to 1, not {value:g}")
