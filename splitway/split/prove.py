"""Prove a cut: the pieces as they are served give what the uncut model gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from splitway.bundle import Difference, Preprocessing, Proof
from splitway.errors import ProofError
from splitway.preprocessing import to_model_input

TOLERANCE = 1e-4
BATCH_SIZES = (1, 3, 8)
RANDOM_INPUTS = 21
_SEED = 20_261_122

Pixels = NDArray[np.uint8]
Classify = Callable[[Pixels], NDArray[np.float32]]
"""UINT8 pixels [n, height, width, 3] to probabilities FP32 [n, classes]."""


def ulp_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many float32 values lie between each pair (units in the last place)."""

    def ordered(x: NDArray[np.float32]) -> NDArray[np.int64]:
        bits = np.ascontiguousarray(x, np.float32).view(np.int32).astype(np.int64)
        return np.where(bits < 0, np.int64(-(2**31)) - bits, bits)

    distance: NDArray[np.int64] = np.abs(ordered(a) - ordered(b))
    return distance


def difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> Difference:
    """Compare two sets of probabilities [n, classes]."""
    return Difference(
        max_abs=float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()),
        max_ulp=int(ulp_distance(a, b).max()),
        top1_equal=bool((a.argmax(axis=1) == b.argmax(axis=1)).all()),
    )


def proof_inputs(samples: list[Pixels], preprocessing: Preprocessing) -> Pixels:
    """The samples, and random pictures of every brightness (seeded: the same each time)."""
    rng = np.random.default_rng(_SEED)
    shape = (RANDOM_INPUTS, preprocessing.height, preprocessing.width, 3)
    brightness = rng.uniform(0.1, 1.0, (RANDOM_INPUTS, 1, 1, 1))
    noise = (rng.integers(0, 256, shape) * brightness).astype(np.uint8)
    return np.concatenate([*(sample[None] for sample in samples), noise])


def uncut_in_keras(model: keras.Model, preprocessing: Preprocessing) -> Classify:
    """The uncut model, as its author would run it."""

    def classify(pixels: Pixels) -> NDArray[np.float32]:
        outputs: NDArray[Any] = model(to_model_input(pixels, preprocessing), training=False).numpy()
        return outputs.astype(np.float32)

    return classify


def prove(served: Classify, uncut: Classify, uncut_same_engine: Classify | None, inputs: Pixels, engine: str) -> Proof:
    """Run all inputs through the served pieces in batches of 1, 3 and 8, and compare with the uncut model.

    Raises:
        ProofError: a probability differs by more than 1e-4, or another class is first.
    """
    expected = uncut(inputs)
    if expected.min() < 0 or np.abs(expected.sum(axis=1) - 1).max() > 1e-3:
        raise ProofError("the model's outputs are not probabilities; end it in a softmax layer before it is cut")
    same = uncut_same_engine(inputs) if uncut_same_engine else None
    worst: list[tuple[Difference, Difference | None]] = []
    for size in BATCH_SIZES:
        got = np.concatenate([served(inputs[i : i + size]) for i in range(0, len(inputs), size)])
        worst.append((difference(got, expected), None if same is None else difference(got, same)))
    against_uncut = _largest([pair[0] for pair in worst])
    _check(against_uncut)
    return Proof(
        engine=engine,
        inputs=len(inputs),
        batch_sizes=BATCH_SIZES,
        tolerance=TOLERANCE,
        against_uncut=against_uncut,
        against_same_engine=_largest([d for _, d in worst if d is not None]) if same is not None else None,
    )


def _largest(differences: list[Difference]) -> Difference:
    return Difference(
        max_abs=max(d.max_abs for d in differences),
        max_ulp=max(d.max_ulp for d in differences),
        top1_equal=all(d.top1_equal for d in differences),
    )


def _check(found: Difference) -> None:
    if found.max_abs > TOLERANCE:
        raise ProofError(
            f"the pieces differ from the uncut model by {found.max_abs:.3g}; at most {TOLERANCE} is allowed"
        )
    if not found.top1_equal:
        raise ProofError("the pieces name another class first than the uncut model for at least one input")
