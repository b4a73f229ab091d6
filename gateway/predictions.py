"""What a head that classifies says: the best classes of a picture."""

from __future__ import annotations

from dataclasses import dataclass

from splitway.errors import BadStageAnswer, InvalidInput
from splitway.wire.tensor import Tensor


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
        raise BadStageAnswer(f"{head} gave classes that cannot be read: {error}", stage=head) from error
    if not 1 <= len(predictions) <= top_k or not all(0 <= p.confidence <= 1 for p in predictions):
        raise BadStageAnswer(f"{head} gave {len(predictions)} classes, or confidences outside 0 to 1", stage=head)
    return predictions
