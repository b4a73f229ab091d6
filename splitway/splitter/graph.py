"""A model as steps: each use of a layer, in an order in which they can run. Every file format is read into this form.

The readers (`keras_graph`, `saved_model`) make graphs. Cutting, proving and packing use the graph alone.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

_Value = TypeVar("_Value")
_RESERVED = ("self", *(word.lower() for word in keyword.kwlist))
"""Names that an argument cannot have: TensorFlow's own first argument, and Python's keywords."""


def reached(
    starts: Iterable[_Value], beyond: Callable[[_Value], Iterable[_Value]], key: Callable[[_Value], Any] = lambda it: it
) -> dict[Any, _Value]:
    """What can be reached from some things, themselves included, each once; `key` tells them apart."""
    found: dict[Any, _Value] = {}
    to_see = list(starts)
    while to_see:
        each = to_see.pop()
        if key(each) not in found:
            found[key(each)] = each
            to_see += beyond(each)
    return found


def shown_shape(shape: Iterable[int | None]) -> str:
    """A row's shape as errors say it."""
    return "x".join("?" if n is None else str(n) for n in shape) or "a single number"


@dataclass(frozen=True)
class Wire:
    """A tensor between steps; rows of `shape`, without the batch dimension."""

    number: int
    shape: tuple[int | None, ...]
    dtype: str
    has_rows: bool = True
    """Whether its first dimension is the batch."""
    masked: bool = False
    """Whether a Keras mask goes with it, for layers that come later."""

    @property
    def travels_as(self) -> str:
        """The datatype in which it crosses a cut; for `bfloat16` one that holds all its values."""
        return "float32" if self.dtype == "bfloat16" else self.dtype

    @property
    def bytes_per_row(self) -> int:
        """0 if rows have no fixed shape, or the datatype no fixed size."""
        if None in self.shape or self.dtype == "string":
            return 0
        try:
            return math.prod(n or 0 for n in self.shape) * np.dtype(self.travels_as).itemsize
        except TypeError:
            return 0


@dataclass(frozen=True)
class Step:
    """One use of a layer. The name of a layer in a nested model begins with the model's: `backbone/conv1`."""

    name: str
    kind: str
    takes: tuple[Wire, ...]
    gives: tuple[Wire, ...]
    run: Callable[[Sequence[Any]], Sequence[Any]]
    """TensorFlow tensors of `takes` to those of `gives`, as when serving."""
    owner: Any
    """The layer: the same object wherever it is used again, and what an export has to keep hold of."""
    identity: dict[str, Any] = field(default_factory=dict)
    """What it computes, apart from its weights, as JSON."""
    weights: tuple[Any, ...] = ()
    flops: float = 0.0
    """Of one row, estimated."""
    together: Callable[[Sequence[Wire], Sequence[Wire], Sequence[Any]], list[Any]] | None = None
    """Runs all steps between some wires and others at once, where that is better than one by one."""
    parts: frozenset[str] = frozenset()
    """Names of layers that run inside this one and nowhere else."""
    refusal: str | None = None
    """Why a model with it cannot be served at all."""
    plain: bool = False
    """Whether it only moves or scales numbers, as far as its kind tells, and has learnt nothing."""
    tells: tuple[Sequence[int], ...] = ()
    """The whole numbers that it has entries for, such as indices into a vocabulary: one set for each of its tables."""

    @property
    def parameters(self) -> int:
        """Numbers among its weights."""
        return sum(math.prod(weight.shape) for weight in self.weights)


@dataclass
class Graph:
    """All steps in the order in which they can run, and what goes in and comes out, by name."""

    inputs: dict[str, Wire] = field(default_factory=dict)
    outputs: dict[str, Wire] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    nested: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Positions of the steps that make the outputs of each nested model, by the model's name."""
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    """The lowest and highest number allowed in an input, by its wire's number, where they are known."""
    _wires: int = 0

    def wire(self, shape: Sequence[int | None], dtype: str, *, masked: bool = False) -> Wire:
        """A new wire for a tensor of this whole shape, batch dimension included."""
        self._wires += 1
        return Wire(self._wires, tuple(shape[1:]), dtype, bool(shape) and shape[0] is None, masked)

    def needed_for(self, position: int) -> frozenset[int]:
        """Positions of all steps that the step at a position needs, including its own."""
        maker = {wire.number: at for at, each in enumerate(self.steps) for wire in each.gives}

        def before(at: int) -> list[int]:
            return [maker[wire.number] for wire in self.steps[at].takes if wire.number in maker]

        return frozenset(reached([position], before))

    def crossing(self, before: frozenset[int]) -> tuple[Wire, ...]:
        """The tensors from before a cut, or from the model's inputs, that are needed after it or are outputs."""
        after = [step for at, step in enumerate(self.steps) if at not in before]
        if not after:
            return ()
        wanted = {wire.number: wire for step in after for wire in step.takes}
        wanted |= {wire.number: wire for wire in self.outputs.values()}
        made_after = {wire.number for step in after for wire in step.gives}
        return tuple(wire for number, wire in sorted(wanted.items()) if number not in made_after)


@dataclass(frozen=True)
class Part:
    """Some steps of a graph that run together, with names for the tensors that go in and come out."""

    takes: dict[str, Wire]
    steps: tuple[Step, ...]
    gives: dict[str, Wire]

    def run(self, values: Sequence[Any]) -> list[Any]:
        """The tensors of `takes`, in that order, to those of `gives`."""
        known = {wire.number: value for wire, value in zip(self.takes.values(), values, strict=True)}
        alone = self.steps
        together = self.steps[0].together if self.steps else None
        if together is not None:
            alone = tuple(step for step in self.steps if step.together is None)
            wires = self._needed_of_others(alone)
            known |= dict(zip(wires, together(list(self.takes.values()), list(wires.values()), values), strict=True))
        for step in alone:
            made = step.run([known[wire.number] for wire in step.takes])
            known |= {wire.number: value for wire, value in zip(step.gives, made, strict=True)}
        return [known[wire.number] for wire in self.gives.values()]

    def _needed_of_others(self, steps: Sequence[Step]) -> dict[int, Wire]:
        """What these steps, and the part's own outputs, need of all others, by number."""
        made = {wire.number for step in steps for wire in step.gives}
        needed = [*(wire for step in steps for wire in step.takes), *self.gives.values()]
        return {wire.number: wire for wire in needed if wire.number not in made}


def unique_names(pairs: Sequence[tuple[str, _Value]]) -> dict[str, _Value]:
    """Give each value a name of letters, digits and `_`; a number tells equal names apart.

    Signatures of TensorFlow take capital and small letters for the same.
    """
    named: dict[str, _Value] = {}
    taken = set(_RESERVED)
    for name, value in pairs:
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "tensor"
        if plain[0].isdigit():
            plain = f"t_{plain}"
        unique, number = plain, 1
        while unique.lower() in taken:
            number += 1
            unique = f"{plain}_{number}"
        named[unique] = value
        taken.add(unique.lower())
    return named


def features_names(count: int, name: str) -> list[str]:
    """The names of the tensors at a cut: the one name, or numbered from 1."""
    return [name] if count == 1 else [f"{name}_{number}" for number in range(1, count + 1)]
