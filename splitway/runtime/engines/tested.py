"""An engine that knows its own failures from those of what it was given.

An input on which a model fails says nothing of the engine. What does, is that it fails on other input as well: on what
it was warmed up with, which is tried again when it has failed, at most once a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.errors import EngineFailed, SplitwayError, first_line
from splitway.manifest import TensorEntry
from splitway.runtime.batching.unfit import Unfit, explain, is_finite
from splitway.runtime.engines.load import Engine, zeros
from splitway.wire.deadline import Clock
from splitway.wire.tensor import Arrays

_log = logging.getLogger(__name__)
_AGAIN_AFTER_S = 1.0
_OUT_OF_MEMORY = ("ResourceExhaustedError", "MemoryError")
"""Classes of the engines' own; TensorFlow's is known by name, for it need not be installed."""


class TestedEngine:
    """An Engine around another, used by one thread at a time as that is.

    Args:
        engine: what runs the model; it has been warmed up.
        entries: what the model takes.
        clock: monotonic seconds.
    """

    __test__ = False  # pytest takes it for a test

    def __init__(self, engine: Engine, entries: tuple[TensorEntry, ...], clock: Clock = time.monotonic) -> None:
        self.name = engine.name
        self._engine = engine
        self._clock = clock
        self._good = next((each for each in _trials(entries) if self._answers(each) is None), None)
        """Input of one row that it has answered with finite numbers."""
        self._tested_at_s = -_AGAIN_AFTER_S
        self._own_failure: SplitwayError | None = None

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the model.

        Raises:
            Unfit: it fails on this input, or gives NaN or infinity for it, and not on its warm-up input.
            EngineFailed: it fails on its warm-up input as well.
        """
        try:
            outputs = self._engine.infer(inputs)
        except Exception as error:
            raise self._whose_fault(error) from error
        if not is_finite(outputs):
            raise self._own() or Unfit(outputs=outputs)
        if self._good is None:
            self._good = {name: array[:1].copy() for name, array in inputs.items()}
        return outputs

    def _whose_fault(self, error: Exception) -> Exception:
        reason = error.private if isinstance(error, SplitwayError) else f"{type(error).__name__}: {first_line(error)}"
        kinds = {type(each).__name__ for each in (error, error.__cause__)}
        return self._own(reason) or Unfit(reason=reason, no_memory=not kinds.isdisjoint(_OUT_OF_MEMORY))

    def _own(self, reason: str = "") -> SplitwayError | None:
        """Return the failure of the engine itself, as of a second ago at most; None if the input is at fault.

        An engine that has not given a finite answer yet is not known to be able to.
        """
        if self._good is None:
            return EngineFailed("the model could not be run", private=reason or "it has given no finite answer yet")
        now_s = self._clock()
        if now_s - self._tested_at_s >= _AGAIN_AFTER_S:
            self._own_failure, self._tested_at_s = self._answers(self._good), now_s
            if self._own_failure is not None:
                _log.error("%s", self._own_failure.in_full)
        return copy(self._own_failure)  # each request's own: an error holds the calls that it went through

    def _answers(self, inputs: Arrays) -> SplitwayError | None:
        try:
            finite = is_finite(self._engine.infer(inputs))
        except Exception as error:
            private = error.private if isinstance(error, SplitwayError) else first_line(error)
            return EngineFailed("the model fails on its warm-up input as well", private=private)
        return None if finite else EngineFailed("the model gives NaN or infinity for its warm-up input as well")


def _trials(entries: tuple[TensorEntry, ...]) -> Iterator[Arrays]:
    """Inputs of one row, in the order in which they are tried: a model that standardises cannot answer zeros."""
    calm = zeros(entries, 1)
    yield calm
    dice = np.random.default_rng(0)
    for scale in (1.0, 100.0):
        yield {name: dice.uniform(0, scale, each.shape).astype(each.dtype) for name, each in calm.items()}


def answer(engine: TestedEngine, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Run inputs that share their run with no other request.

    Raises:
        UnfitInput: the model cannot answer them.
        EngineFailed: the engine is at fault.
    """

    def fails(part: Arrays) -> bool:
        try:
            engine.infer(part)
        except (Unfit, EngineFailed):
            return True
        return False

    try:
        return engine.infer(inputs)
    except Unfit as unfit:
        raise explain(unfit, inputs, fails) from unfit
