"""What a head's numbers mean: one of several classes, labels of which several can be right, or numbers as they are.

The graph tells by the last layer's activation, where that can be read; else the numbers that the model gives tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from splitway.api.wanted import Wanted, check_count
from splitway.errors import ModelError, SetupError
from splitway.manifest import Appended
from splitway.names import PROBABILITIES
from splitway.splitter.cut import CutModel
from splitway.splitter.ending import LINEAR, activation_of, answers_with, cut_with, last_step
from splitway.splitter.graph import Graph, Step, Wire, unique_names
from splitway.splitter.pack import HeadAnswers
from splitway.splitter.proof.prove import Answers, Question, are_probabilities, are_shares

DEFAULT_THRESHOLD = 0.5
_OTHER = "output"
"""The new name of an output that is called `probabilities` but holds none."""
_Meaning = Literal["classes", "labels", "numbers"]
_MEANINGS: dict[str | None, _Meaning | None] = {
    "softmax": "classes",
    "sparsemax": "classes",
    "sigmoid": "labels",
    "hard_sigmoid": "labels",
    "sparse_sigmoid": "labels",
    None: None,
}
"""What an activation makes of any numbers, by its name; None where only the numbers tell."""
_CHOICES = (
    "add --softmax (one of the labels is right), --sigmoid (several can be right) or --raw (the numbers as they are, "
    "without labels)"
)
_TWO_CLASSES = (
    "one number with two labels is two classes, of which one is right: leave --threshold out, or give one label, "
    "which is then given from --threshold on"
)


def refuse_early(wanted: Wanted, graph: Graph) -> None:
    """Refuse what the graph alone tells, before the model is asked. Raises as `head_of`."""
    if wanted.ending != "raw":
        _found(wanted, graph, None)


def head_of(wanted: Wanted, graph: Graph, answers: Answers) -> HeadAnswers:
    """How the head's answers are served.

    Args:
        wanted: the user's options.
        graph: the uncut model's.
        answers: what the uncut model gives.

    Raises:
        SetupError: options make no sense for this model.
        ModelError: labels do not fit the model, or it needs one of the options for them.
    """
    found = None if wanted.ending == "raw" else _found(wanted, graph, answers)
    return found or HeadAnswers()


def _found(wanted: Wanted, graph: Graph, answers: Answers | None) -> HeadAnswers | None:
    """None where only the model's answers can tell."""
    output = _row_of(graph)
    if output is None:
        return _of_other(wanted, graph, answers)
    end = last_step(graph, output)
    meaning = _meaning(activation_of(end), answers)
    if meaning is None:
        return None
    count = output.shape[0] or 0
    check_count(wanted.labels, count)
    if count == 1 and wanted.is_told and end is not None and activation_of(end) == "softmax":
        raise ModelError(
            f"its last layer {end.name!r} is a softmax of one number, which is always 1: end it in a sigmoid"
        )
    if meaning != "numbers":
        _refuse_another(wanted, end, meaning)
    elif wanted.ending is None and wanted.is_told:
        raise _has_no_ending(end, answers)
    if wanted.ending == "softmax" and count == 1:
        raise SetupError("--softmax of one number is always 1: add --sigmoid")
    appended: tuple[Appended, ...] = ()
    if wanted.ending == "softmax" or wanted.ending == "sigmoid":  # noqa: PLR1714 - mypy narrows this alone
        appended = (wanted.ending,)
    return _head(wanted, wanted.ending or meaning, appended, count)


def _head(wanted: Wanted, meaning: str, appended: tuple[Appended, ...], count: int) -> HeadAnswers:
    labels = None if wanted.labels is None else list(wanted.labels)
    if meaning in ("labels", "sigmoid"):
        if labels is not None and len(labels) == 2 and count == 1:
            if wanted.threshold is not None:
                raise SetupError(_TWO_CLASSES)
            return HeadAnswers(labels, (*appended, "two_classes"), None, wanted.unsure_below)
        if labels is not None or wanted.threshold is not None or (appended and count > 1):
            threshold = DEFAULT_THRESHOLD if wanted.threshold is None else wanted.threshold
            return HeadAnswers(labels, appended, threshold, wanted.unsure_below)
    elif wanted.threshold is not None:
        raise SetupError("--threshold is for labels of which several can be right; of this model's classes one is")
    gives_classes = meaning in ("classes", "softmax")
    if wanted.unsure_below is not None and not gives_classes:
        raise SetupError("--unsure-below is for a head that gives labels: give --labels")
    return HeadAnswers(labels, appended, None, wanted.unsure_below)


def _row_of(graph: Graph) -> Wire | None:
    """The one output, if it is a row of floating-point numbers."""
    wires = list(graph.outputs.values())
    is_row = len(wires) == 1 and len(wires[0].shape) == 1 and "float" in wires[0].dtype and wires[0].has_rows
    return wires[0] if is_row else None


def _of_other(wanted: Wanted, graph: Graph, answers: Answers | None) -> HeadAnswers:
    """Of several outputs, or of one that is no row: the one that is called `probabilities` may have labels."""
    shown = ", ".join(f"{name} {wire.shape}" for name, wire in graph.outputs.items())
    if wanted.ending is not None or wanted.threshold is not None:
        option = f"--{wanted.ending}" if wanted.ending else "--threshold"
        raise SetupError(
            f"{option} is for a model with one output, a row of numbers for each input; this gives {shown}"
        )
    named = graph.outputs.get(PROBABILITIES)
    has_classes = named is not None and (answers is None or are_shares(answers[PROBABILITIES]))
    if wanted.labels is not None and not has_classes:
        raise ModelError("the model's outputs are not probabilities, so labels mean nothing: end it in a softmax layer")
    if wanted.unsure_below is not None and not has_classes:
        raise SetupError(f"--unsure-below is for a head that gives labels; this gives {shown}")
    if named is not None and has_classes:
        check_count(wanted.labels, named.shape[-1] or 0 if named.shape else 0)
    return HeadAnswers(wanted.labels, (), None, wanted.unsure_below)


def _meaning(activation: str | None, answers: Answers | None) -> _Meaning | None:
    if answers is None:
        return _MEANINGS.get(activation, "numbers")
    if are_probabilities(answers):
        return "classes"
    (array,) = answers.values()
    in_range = activation is None and array.size and array.min() >= 0 and array.max() <= 1
    return "labels" if _MEANINGS.get(activation) == "labels" or in_range else "numbers"


def _refuse_another(wanted: Wanted, end: Step | None, meaning: _Meaning) -> None:
    """Refuse an activation on top of the model's own. Raises SetupError.

    Numbers between 0 and 1 alone, of a layer that does not tell, may be anything: the user knows.
    """
    own, named = activation_of(end), "" if end is None else f" {end.name!r}"
    if wanted.ending is None or (own is None and meaning == "labels"):
        return
    inside = f"its last layer{named} ends in {own} already" if own else "its numbers add up to 1 already"
    raise SetupError(f"--{wanted.ending} makes no sense for this model: {inside}; leave --{wanted.ending} out")


def _has_no_ending(end: Step | None, answers: Answers | None) -> ModelError:
    activation, seen = activation_of(end), ""
    if end is not None and activation not in (None, "softmax"):
        has = "has no activation" if activation == LINEAR else f"ends in {activation}"
        seen = f": its last layer {end.name!r} {has}"
    elif answers is not None:
        seen = f": {_seen(next(iter(answers.values())))}"
    return ModelError(f"the model's outputs are not probabilities, so labels mean nothing{seen}; {_CHOICES}")


def _seen(array: NDArray[np.floating]) -> str:
    sums = array.astype(np.float64).sum(axis=1)
    if array.min() < 0 or array.max() > 1:
        return f"they are from {array.min():.3g} to {array.max():.3g}, not from 0 to 1"
    return f"a row of them adds up to {sums.min():.3g} to {sums.max():.3g}, not to 1"


def with_head(
    cut: CutModel, question: Question, head: HeadAnswers, *, is_raw: bool = False
) -> tuple[CutModel, Question]:
    """Append what the head computes behind the model; name the one output of a head of classes `probabilities`, and
    rename an output of that name that holds none."""
    cut, expected = cut_with(cut, head.appended), answers_with(question.expected, head.appended)
    if not is_raw and (head.threshold is not None or are_probabilities(expected)):
        names = [PROBABILITIES]
    else:
        names = [_OTHER if n == PROBABILITIES and (is_raw or not are_shares(a)) else n for n, a in expected.items()]
    wires = unique_names(list(zip(names, cut.parts[-1].gives.values(), strict=True)))
    parts = (*cut.parts[:-1], replace(cut.parts[-1], gives=wires))
    return replace(cut, parts=parts), replace(question, expected=dict(zip(wires, expected.values(), strict=True)))
