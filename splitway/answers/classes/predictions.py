"""Which heads can be asked for classes, and what they say then. Gateway and in-process run read it here alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from splitway.errors import BadStageAnswer, InvalidInput
from splitway.names import PROBABILITIES
from splitway.wire.tensor import Tensor

_MAX_CLASSES = 1 << 31


class Output(Protocol):
    """A tensor that a head gives."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


def gives_classes(outputs: Iterable[Output]) -> bool:
    """Whether a head can be asked for the best classes: one `probabilities`, a row of them for each row."""
    return any(output.name == PROBABILITIES and len(output.shape) == 2 for output in outputs)


@dataclass(frozen=True)
class Prediction:
    """One class and the probability that the head gives it."""

    label: str
    index: int
    confidence: float


def read_predictions(head: str, tensor: Tensor, top_k: int) -> list[Prediction]:
    """Read 1 to `top_k` elements `probability:index:label`. Raises BadStageAnswer for anything else."""
    try:
        found = [bytes(element).decode().split(":", 2) for element in tensor.elements]
        predictions = [Prediction(label, int(index), float(confidence)) for confidence, index, label in found]
    except (InvalidInput, ValueError) as error:
        raise BadStageAnswer(f"{head} gave classes that cannot be read", stage=head, private=str(error)) from error
    if not 1 <= len(predictions) <= top_k or not _make_sense(predictions):
        raise BadStageAnswer(
            f"{head} gave {len(predictions)} classes, or indices or confidences that are impossible", stage=head
        )
    return predictions


def _make_sense(predictions: list[Prediction]) -> bool:
    return all(0 <= each.index < _MAX_CLASSES and 0 <= each.confidence <= 1 for each in predictions)
