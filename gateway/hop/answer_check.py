"""Whether a stage's answer, or one that was kept, makes sense for the model that was asked."""

from __future__ import annotations

import numpy as np

from splitway.errors import BadStageAnswer
from splitway.gateway.fleet.inventory import ServedModel
from splitway.wire.messages import FEATURE_SPACE, InferResponse
from splitway.wire.tensor import BYTES


def check_answer(model: ServedModel, rows: int, response: InferResponse) -> None:
    """Raise BadStageAnswer unless it is the called version's, of as many rows as were sent, and of the right space."""
    name, tensors = model.name, response.outputs
    if response.model_version != model.version:
        said = f"as {response.model_version!r:.80}"
        what = f"{name} was called at version {model.version} and answered with another version"
        raise BadStageAnswer(what, stage=name, private=said)
    if not tensors or any(tensor.rows != rows for tensor in tensors):
        got = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in tensors) or "nothing"
        raise BadStageAnswer(f"{name} received {rows} rows and returned another number", stage=name, private=got)
    if model.gives is None:
        spaces, expected = {response.parameters.get(FEATURE_SPACE, model.takes)}, model.takes
    else:
        spaces, expected = {tensor.parameters.get(FEATURE_SPACE) for tensor in tensors}, model.gives
    if spaces != {expected}:
        said = ", ".join("no feature space" if space is None else repr(space)[:80] for space in spaces)
        what = f"{name} {model.version} is of {expected} and answered with another feature space or none"
        raise BadStageAnswer(what, stage=name, private=said)


def check_kept(model: ServedModel, response: InferResponse) -> None:
    """Look at one row of features that were kept elsewhere, where others may write too.

    Raises:
        BadStageAnswer: `model` cannot have given them: as `check_answer`, or numbers are not finite.
        InvalidInput: the same, of their names, types and shapes.
    """
    check_answer(model, 1, response)
    given = {tensor.name: tensor for tensor in response.outputs}
    if model.outputs and given.keys() != {spec.name for spec in model.outputs}:
        raise BadStageAnswer(f"{model.name} returned other tensors than its metadata names", stage=model.name)
    for spec in model.outputs:
        spec.check(given[spec.name])
    numbers = [tensor.array for tensor in response.outputs if tensor.datatype != BYTES]
    if not all(np.isfinite(array).all() for array in numbers):
        raise BadStageAnswer(f"{model.name} returned NaN or infinity", stage=model.name)
