"""Prove a cut: compare the answers of the served pieces with those of the uncut model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from splitway.errors import ProofError, printable
from splitway.manifest import Difference, Proof
from splitway.names import PROBABILITIES
from splitway.process.progress import counted
from splitway.splitter.graph import Graph, Part
from splitway.splitter.readers.foreign import tried

TOLERANCE = 1e-4
HALF_PRECISION_TOLERANCE = 2e-2
"""Tolerance of models that compute in 16 bits, with a thousand times coarser rounding."""
SMALLEST_SCALE = 1e-3
"""Outputs that are all smaller than this are compared as if the largest were this."""
CLEAR_LEAD = 1e-6
"""A lead of the first class that is smaller counts as rounding."""
BATCH_SIZES = (1, 3, 8)
_ROWS = 2
"""Rows that are asked twice, to tell whether answers are random."""

Answers = Mapping[str, NDArray[Any]]
Run = Callable[[Answers], Answers]
"""A model: named inputs of n rows to named outputs of n rows."""


@dataclass(frozen=True)
class Question:
    """Inputs, the uncut model's answers as its author would run it, and the largest allowed difference from those.

    That is of probabilities as it is, of other floats a share of the largest (or of 1e-3 where all are smaller). Whole
    numbers must be equal.
    """

    inputs: Answers
    expected: Answers
    tolerance: float = TOLERANCE

    @property
    def rows(self) -> int:
        """The rows of inputs."""
        return len(next(iter(self.inputs.values())))


def ulp_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many float32 values lie between each pair (units in the last place)."""

    def ordered(x: NDArray[np.float32]) -> NDArray[np.int64]:
        bits = np.ascontiguousarray(x, np.float32).view(np.int32).astype(np.int64)
        return np.where(bits < 0, np.int64(-(2**31)) - bits, bits)

    distance: NDArray[np.int64] = np.abs(ordered(a) - ordered(b))
    return distance


def _apart(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    return np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))


def _histogram(ulps: NDArray[np.int64]) -> dict[str, int]:
    """Counts of distances 0, 1, 2-3, 4-7 and so on, those that occur."""
    exponents = np.where(ulps == 0, 0, np.floor(np.log2(np.maximum(ulps, 1))).astype(np.int64) + 1)
    found = {}
    for exponent, count in zip(*np.unique(exponents, return_counts=True), strict=True):
        low, high = 2 ** (int(exponent) - 1), 2 ** int(exponent) - 1
        found["0" if exponent == 0 else str(low) if low == high else f"{low}-{high}"] = int(count)
    return found


def difference(got: Answers, expected: Answers) -> Difference:
    """Compare two sets of answers, number by number, and of probabilities the first class."""
    pairs = [(np.asarray(got[name]), np.asarray(expected[name])) for name in expected]
    ulps = np.concatenate([ulp_distance(a, b).reshape(-1) for a, b in pairs])
    top1 = None
    if PROBABILITIES in expected and are_shares(expected[PROBABILITIES]):
        top1 = bool((got[PROBABILITIES].argmax(axis=1) == expected[PROBABILITIES].argmax(axis=1)).all())
    return Difference(
        max_abs=max(float(_apart(a, b).max()) for a, b in pairs),
        max_ulp=int(ulps.max()),
        top1_equal=top1,
        ulp_histogram=_histogram(ulps),
    )


def are_probabilities(outputs: Answers) -> bool:
    """Whether the one output is, row by row, a share for each class."""
    return len(outputs) == 1 and all(map(are_shares, outputs.values()))


def are_shares(array: NDArray[Any]) -> bool:
    """Whether an output is, row by row, a share for each class."""
    if array.ndim != 2 or array.shape[1] < 2 or not np.issubdtype(array.dtype, np.floating):
        return False
    coarse = 1e-2 if array.dtype == np.float16 else 1e-3
    return bool(array.min() >= 0 and np.abs(array.astype(np.float64).sum(axis=1) - 1).max() <= coarse)


def check_finite(outputs: Answers) -> None:
    """Raise ProofError if a model gives NaN or infinity."""
    for name, array in outputs.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise ProofError(f"the uncut model itself gives NaN or infinity in {name!r}: there is nothing to prove")


def check_answers(model: Answers, told: Answers, tolerance: float, where: str) -> None:
    """Check that an uncut model, as it was read, gives what its author had for some or all outputs of the first rows.

    `where` says where that stands; the tolerance is as of a `Question`. Raises ProofError if an output differs by more.
    """
    for name, wanted in told.items():
        got = model[name][: len(wanted)]
        apart = _apart(got, wanted).reshape(len(wanted), -1).max(axis=1, initial=0)
        allowed = _allowed(name, wanted, tolerance) if np.issubdtype(wanted.dtype, np.floating) else 0.0
        if not (apart <= allowed).all():
            raise ProofError(
                f"the uncut model, as it was read, gives other answers than {where} has under {name!r}: they differ by "
                f"{apart.max():.3g} in row {int(apart.argmax())}, and {allowed:.3g} is allowed"
            )


def in_batches(run: Run, inputs: Answers, size: int) -> dict[str, NDArray[Any]]:
    """Run all inputs, `size` rows at a time."""
    rows = len(next(iter(inputs.values())))
    starts = range(0, rows, size)
    batches = [run({name: array[i : i + size] for name, array in inputs.items()}) for i in counted(starts)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def prove(served: Run, asked: Question, engine: str, same_engine: Answers | None = None) -> Proof:
    """Run all inputs through the served pieces in batches of 1, 3 and 8, and compare with the uncut model.

    Args:
        served: the pieces, one after the other, through the bytes that travel.
        asked: what they are given, and what the uncut model gives.
        engine: the one that serves.
        same_engine: what the uncut model gives in it, where that can be had.

    Raises:
        ProofError: an output differs by more, or another class is clearly first.
    """
    answers = [in_batches(served, asked.inputs, size) for size in counted(BATCH_SIZES)]
    return Proof(
        engine=engine,
        inputs=asked.rows,
        batch_sizes=BATCH_SIZES,
        tolerance=max(_check(got, asked.expected, asked.tolerance) for got in answers),
        against_uncut=_worst([difference(got, asked.expected) for got in answers]),
        against_same_engine=None if same_engine is None else _worst([difference(got, same_engine) for got in answers]),
    )


def _worst(differences: list[Difference]) -> Difference:
    return max(differences, key=lambda found: (found.max_abs, found.max_ulp))


def _check(got: Answers, expected: Answers, tolerance: float) -> float:
    """Return the largest difference that was allowed. Raises ProofError for a larger one."""
    most = 0.0
    for name, wanted in expected.items():
        if got[name].shape != wanted.shape:
            raise ProofError(f"the pieces give {name!r} of shape {got[name].shape}, the uncut model {wanted.shape}")
        if not np.issubdtype(wanted.dtype, np.floating):
            if not np.array_equal(got[name], wanted):
                raise ProofError(f"the pieces differ from the uncut model in {name!r}, which must be equal exactly")
            continue
        allowed = _allowed(name, wanted, tolerance)
        most = max(most, allowed)
        found = float(_apart(got[name], wanted).max())
        if not found <= allowed:
            raise ProofError(
                f"the pieces differ from the uncut model by {found:.3g} in {name!r}; at most {allowed:.3g} is allowed"
            )
    if PROBABILITIES in expected and are_shares(expected[PROBABILITIES]):
        wanted = expected[PROBABILITIES].astype(np.float64)
        chosen = np.take_along_axis(wanted, got[PROBABILITIES].argmax(axis=1)[:, None], axis=1)[:, 0]
        if (wanted.max(axis=1) - chosen > CLEAR_LEAD).any():
            raise ProofError("the pieces name another class first than the uncut model for at least one input")
    return most


def _allowed(name: str, wanted: NDArray[Any], tolerance: float) -> float:
    """The tolerance for probabilities; for other numbers, the tolerance times the largest."""
    if name == PROBABILITIES and are_shares(wanted):
        return tolerance
    return tolerance * max(SMALLEST_SCALE, float(np.abs(wanted.astype(np.float64)).max()))


@contextmanager
def chance_named(graph: Graph, run: Run, inputs: Answers) -> Iterator[None]:
    """If a proof fails and the model gives random answers, raise a ProofError that names the layer.

    It was asked the inputs, in the order of the graph's.
    """
    try:
        yield
    except ProofError as error:
        rows = [array[:_ROWS] for array in inputs.values()]
        asked = dict(zip(graph.inputs, rows, strict=True))
        if all(map(np.array_equal, run(asked).values(), run(asked).values())):
            raise
        layer = tried(lambda: _first_that_differs(graph, rows))
        where = f": {printable(repr(layer))} draws random numbers when it answers" if layer else ""
        raise ProofError(
            f"two runs of the uncut model on the same input give different answers, so no cut can be proved{where}; "
            "save it with a layer there that draws none, such as one that hands on the mean"
        ) from error


def _first_that_differs(graph: Graph, rows: list[Any]) -> str | None:
    """The first layer that gives different outputs for the same inputs."""
    wires = [wire for step in graph.steps for wire in step.gives]
    whole = Part(graph.inputs, tuple(graph.steps), {str(wire.number): wire for wire in wires})
    values = [tf.constant(array) for array in rows]
    pairs = zip(wires, whole.run(values), whole.run(values), strict=True)
    random = {wire.number for wire, one, other in pairs if not np.array_equal(one, other)}
    return next((step.name for step in graph.steps if any(wire.number in random for wire in step.gives)), None)
