"""What a model does to the numbers of its pictures before it computes with them: that tells which numbers it takes.

The steps behind the input that only move or scale numbers are run on pictures of one grey each. What they make of pixel
x is `factor * x + offset` then, with other numbers for each channel, in whatever layers or operations it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splitway.errors import printable
from splitway.splitter.graph import Graph, Step
from splitway.splitter.readers.foreign import tried

Range = tuple[float, float]
"""The numbers for pixels 0 and 255."""
AS_PIXELS, UNIT, SIGNED = (0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)
USUAL = {AS_PIXELS: "pixels as they are", UNIT: "pixels / 255", SIGNED: "pixels / 127.5 - 1"}
"""The ranges that models are trained with, and what each means."""
_MADE_OF: dict[Range, tuple[Range, ...]] = {
    AS_PIXELS: (UNIT, SIGNED, (-0.5, 0.5), (-128.0, 127.0)),
    UNIT: (SIGNED, AS_PIXELS, (-0.5, 0.5), (-128.0, 127.0)),
    SIGNED: (UNIT, AS_PIXELS),
}
"""The ranges into which layers turn each of the usual ones. No factor and offset makes two of these."""


class _Norm(NamedTuple):
    """What standardises pictures of a range: the factors, and the means that are taken off."""

    pixels: Range
    factor: tuple[float, float]
    mean: tuple[float, float]
    least_mean: float = 256.0
    """The least of the channels' means is at most this."""


_NORMS = (
    _Norm(AS_PIXELS, (0.5 / 255, 25 / 255), (-1.0, 256.0)),  # which would leave nothing of pictures of any other range
    _Norm(AS_PIXELS, (0.98, 1.02), (25.0, 230.0)),
    _Norm(UNIT, (0.98, 1.02), (0.15, 0.85)),
    _Norm(UNIT, (2.7, 25.0), (0.15, 0.85)),  # bright pictures of -1:1 have such means, but larger deviations
    _Norm(UNIT, (250.0, 260.0), (0.15, 0.85)),
    _Norm(SIGNED, (0.98, 12.0), (-0.85, 0.85), -0.05),  # which pictures of another range cannot have
)
_GREYS = (0, 1, 128, 255)
_NEAR = 0.02
"""How far a range may lie from a usual one, as a share of its width: some divide by 256 or 128."""
_STRAIGHT = 0.01
"""How far the greys may lie from a line, as a share of the largest number: half precision counts as straight."""


class Affine(NamedTuple):
    """What becomes of pixels: factor * x + offset, for each of the numbers that were found in a tensor."""

    factor: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def is_unchanged(self) -> bool:
        """Whether pixels are as they came."""
        return bool(np.all(np.abs(self.factor - 1) < _NEAR) and np.all(np.abs(self.offset) < _NEAR))

    def of(self, pixels: Range) -> Range:
        """The lowest and the highest number that a range becomes."""
        ends = [self.factor * end + self.offset for end in pixels]
        return float(np.min(ends)), float(np.max(ends))

    def makes(self, pixels: Range, made: Range) -> bool:
        """Whether it turns one range into another, in every channel."""
        near = _NEAR * (made[1] - made[0])
        pairs = zip(pixels, made, strict=True)
        return all(bool(np.all(np.abs(self.factor * a + self.offset - b) <= near)) for a, b in pairs)


@dataclass(frozen=True)
class Scaling:
    """What a model's first steps do to its pictures."""

    steps: tuple[Step, ...]
    """Those that change their numbers, in order."""
    made: Range | None
    """The lowest and highest number that `range` becomes, or 0:255 where it is not known; None if nothing scales."""
    range: Range | None
    """The numbers for pixels 0 and 255 that the steps are made for; None if they don't tell."""
    first: Step | None
    """The first step that is not read: it computes, or its class is not one of Keras."""

    @property
    def found(self) -> str:
        """What was found and where, as the middle of a sentence: "its own 'scale' (Rescaling) makes 0:1 of 0:255"."""
        if self.made is not None:
            *others, last = [_named(step) for step in self.steps]
            names, make = (f"{', '.join(others)} and {last}", "make") if others else (last, "makes")
            return f"its own {names} {make} {shown_range(self.made)} of {shown_range(self.range or AS_PIXELS)}"
        return f"it begins with {_named(self.first)}" if self.first else "it computes nothing that is known"


def shown_range(pixels: Range) -> str:
    """A range as users write it."""
    return f"{pixels[0]:.4g}:{pixels[1]:.4g}"


def _named(step: Step) -> str:
    return f"{printable(step.name)!r} ({printable(step.kind)})"


@dataclass
class _Found:
    """A tensor of the first steps."""

    value: NDArray[np.generic]
    """For each grey."""
    line: Affine | None
    """None if it does not depend on the pixels."""
    told: frozenset[Range] = frozenset()
    """The ranges that the steps before it tell."""


def read_scaling(graph: Graph) -> Scaling:
    """Read what stands behind the one input of a model of pictures."""
    (pixels,) = graph.inputs.values()
    greys = np.array(_GREYS, pixels.dtype).reshape(-1, *(1 for _ in pixels.shape))
    value = np.broadcast_to(greys, (len(_GREYS), *(int(n or 0) for n in pixels.shape)))
    found = {pixels.number: _Found(value, _line(value))}
    scaling: list[Step] = []
    first: Step | None = None
    ends: dict[int, _Found] = {}
    for step in graph.steps:
        taken = [found[wire.number] for wire in step.takes if wire.number in found]
        made = _made(step, taken) if step.plain and len(taken) == len(step.takes) else None
        if made is not None:
            found |= {wire.number: each for wire, each in zip(step.gives, made, strict=True)}
            scaling += [step] if _changes(taken, made) else []
        elif taken:
            first = first or step
            ends |= {wire.number: found[wire.number] for wire in step.takes if wire.number in found}
    return _judged(scaling, first, [each for each in ends.values() if each.line is not None])


def _made(step: Step, taken: Sequence[_Found]) -> list[_Found] | None:
    """What a step makes of what it takes; None if that is no line of the pixels, or it cannot be run."""
    values = tried(lambda: [np.asarray(value) for value in step.run([each.value for each in taken])])
    if values is None:
        return None
    made = []
    for wire, value in zip(step.gives, values, strict=True):
        line = _line(value) if wire.has_rows else None
        if wire.has_rows and line is None:
            return None
        told = [each.told for each in taken if each.line is not None]  # of scaled and unscaled pixels together: nothing
        known = frozenset[Range]().union(*told) if all(told) else frozenset()
        made.append(_Found(value, line, known or (_told(line) if line else frozenset())))
    return made


def _line(value: NDArray[np.generic]) -> Affine | None:
    """What became of the greys; None unless it lies on lines that depend on them."""
    if len(value) != len(_GREYS) or not value.size:
        return None
    numbers = value.reshape(len(_GREYS), -1).astype(np.float64)
    factor = (numbers[-1] - numbers[0]) / (_GREYS[-1] - _GREYS[0])
    straight = numbers[0] + np.multiply.outer(np.array(_GREYS), factor)
    scale = np.max(np.abs(numbers))
    varies = np.abs(factor) * _GREYS[-1] > scale * 1e-6  # what a padding adds does not
    is_straight = np.all(np.abs(numbers - straight) <= scale * _STRAIGHT)  # which what is not finite never is
    if not is_straight or not np.any(varies):
        return None
    return Affine(factor[varies], numbers[0][varies])


def _changes(taken: Sequence[_Found], made: Sequence[_Found]) -> bool:
    before = [each.line.of(AS_PIXELS) for each in taken if each.line is not None]
    after = [each.line.of(AS_PIXELS) for each in made if each.line is not None]
    return any(not any(np.allclose(one, other, rtol=1e-3, atol=1e-3) for other in before) for one in after)


def _told(line: Affine) -> frozenset[Range]:
    """The usual range that becomes another one, which no other range would."""
    if line.is_unchanged:
        return frozenset()
    return frozenset(given for given, others in _MADE_OF.items() if any(line.makes(given, made) for made in others))


def _judged(scaling: list[Step], first: Step | None, ends: list[_Found]) -> Scaling:
    lines = [end.line for end in ends if end.line is not None]
    told = {range_ for end, line in zip(ends, lines, strict=True) for range_ in (end.told or _fits(line) or {None})}
    (known,) = told if len(told) == 1 else (None,)
    spans = [line.of(known or AS_PIXELS) for line in lines]
    made = (min(low for low, _ in spans), max(high for _, high in spans)) if scaling and spans else None
    return Scaling(tuple(scaling), made, known, first)


def _fits(line: Affine) -> frozenset[Range]:
    """The range whose pictures have a mean as is taken off, and a deviation as they are divided by."""
    mean = -line.offset / line.factor
    if line.is_unchanged:
        return frozenset()
    return frozenset(
        norm.pixels
        for norm in _NORMS
        if norm.factor[0] <= np.min(line.factor)
        and np.max(line.factor) <= norm.factor[1]
        and norm.mean[0] <= np.min(mean) <= norm.least_mean
        and np.max(mean) <= norm.mean[1]
    )
