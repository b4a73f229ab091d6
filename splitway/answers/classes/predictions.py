"""Which heads can be asked for classes, and what they say then. Gateway and in-process run read it here alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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


def most_classes(outputs: Iterable[Output]) -> int:
    """How many classes a head that gives classes has; the most there can be where it does not say."""
    size = next((output.shape[1] for output in outputs if output.name == PROBABILITIES and len(output.shape) == 2), -1)
    return size if size > 0 else _MAX_CLASSES


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


def reaching(predictions: Sequence[Prediction], threshold: float | None) -> Sequence[Prediction]:
    """The labels that a head gives: all that were read, of a multi-label head those that reach its threshold."""
    return predictions if threshold is None else [each for each in predictions if each.confidence >= threshold]


def in_answer(predictions: Sequence[Prediction], threshold: float | None) -> dict[str, Any]:
    """What an answer says of a head's classes: the first, and all; of a multi-label head that it is one, and from
    which probability on a label is given: the first is null where none is.

    Args:
        predictions: what was read, best first.
        threshold: of a multi-label head; None for another.
    """
    if threshold is None:
        best = predictions[0]
        return {"label": best.label, "confidence": best.confidence, "predictions": predictions}
    given = reaching(predictions, threshold)
    first = (given[0].label, given[0].confidence) if given else (None, None)
    said = {"label": first[0], "confidence": first[1], "predictions": given}
    return {**said, "multi_label": True, "threshold": threshold}


def _make_sense(predictions: list[Prediction]) -> bool:
    return all(0 <= each.index < _MAX_CLASSES and 0 <= each.confidence <= 1 for each in predictions)
