"""An engine knows its own failures from those of what it was given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.errors import EngineFailed, UnfitInput
from splitway.manifest import TensorEntry
from splitway.runtime.batching.unfit import Unfit
from splitway.runtime.engines.tested import TestedEngine, answer
from splitway.wire.tensor import Arrays
from tests.splitway.runtime.clock import Clock
from tests.splitway.runtime.fussy import GIVES_NAN, RAISES, FussyEngine

X = (TensorEntry(name="x", datatype="FP32", shape=(-1, 1)),)


def x(*values: float) -> dict[str, NDArray[Any]]:
    return {"x": np.array(values, np.float32)[:, None]}


@pytest.mark.parametrize("bad", [RAISES, GIVES_NAN])
@pytest.mark.parametrize("raises", [EngineFailed("no"), RuntimeError("no"), KeyError("no")], ids=repr)
def test_a_failure_on_this_input_alone_is_the_inputs(bad: float, raises: Exception) -> None:
    engine = TestedEngine(FussyEngine(raises), X)
    with pytest.raises(Unfit):
        engine.infer(x(1, bad))
    with pytest.raises(UnfitInput) as raised:
        answer(engine, x(1, bad, 2))
    assert raised.value.row == 1
    assert answer(engine, x(1))["y"].tolist() == [[2]]


def test_what_fails_on_the_warm_up_input_as_well_is_the_engines() -> None:
    fussy, clock = FussyEngine(), Clock()
    engine = TestedEngine(fussy, X, clock)
    fussy.is_broken = True
    with pytest.raises(EngineFailed, match="warm-up input as well"):
        engine.infer(x(1))
    fussy.is_broken = False
    clock.pass_(1.0)
    with pytest.raises(Unfit):  # it has recovered, and is found to have
        engine.infer(x(RAISES))


def test_the_engine_is_tested_once_a_second_whatever_is_sent() -> None:
    fussy, clock = FussyEngine(), Clock()
    engine = TestedEngine(fussy, X, clock)
    fussy.runs.clear()
    for _ in range(20):
        with pytest.raises(Unfit):
            engine.infer(x(RAISES, RAISES))
    assert fussy.runs.count(1) == 1
    clock.pass_(1.0)
    with pytest.raises(Unfit):
        engine.infer(x(RAISES, RAISES))
    assert fussy.runs.count(1) == 2


class _Standardises:
    """Zeros have no deviation to divide by."""

    name = "standardises"

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        pixels = inputs["x"]
        with np.errstate(all="ignore"):
            return {"y": pixels / pixels.std(axis=1, keepdims=True)}


def test_a_model_that_cannot_answer_zeros_is_not_blamed_for_a_black_picture() -> None:
    engine = TestedEngine(_Standardises(), (TensorEntry(name="x", datatype="FP32", shape=(-1, 4)),))
    with pytest.raises(Unfit):
        engine.infer({"x": np.zeros((1, 4), np.float32)})


class _Picky:
    """Gives numbers for one value alone, or for none."""

    name = "picky"

    def __init__(self) -> None:
        self.works_for = np.inf

    def infer(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return {"y": np.where(inputs["x"] == self.works_for, 1.0, np.nan)}


def test_a_model_that_never_gives_a_number_is_to_blame_itself_until_it_does() -> None:
    model = _Picky()
    engine = TestedEngine(model, X)
    with pytest.raises(EngineFailed):
        engine.infer(x(2))
    model.works_for = 7.0
    engine.infer(x(7))  # from now on it is known that it can
    with pytest.raises(Unfit):
        engine.infer(x(2))


def test_memory_that_runs_out_is_told_apart() -> None:
    engine = TestedEngine(FussyEngine(MemoryError("no")), X)
    with pytest.raises(UnfitInput, match="the model needs too much memory for 2 rows at once"):
        answer(engine, x(RAISES, 1))
