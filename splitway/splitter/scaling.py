"""What a model does to the numbers of its pictures before it computes with them: that tells which numbers it takes.

The steps behind the input that only move or scale numbers are run on pictures of one grey each. What they make of pixel
x is `factor * x + offset` then, with other numbers for each channel, in whatever layers or operations it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
"""The ranges into which layers turn each of the usual ones, or upside down. No factor and offset makes two of these."""
_INVERTED = (AS_PIXELS, UNIT)
"""Those that layers turn upside down and leave as wide: `255 - x`, `1 - x`. `-x` could be said of any."""


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
_AT_ONCE = 1 << 14
"""Numbers of a picture that are looked at together; what is found of them takes many times their own room."""


class Affine(NamedTuple):
    """What becomes of pixels: factor * x + offset, for each of the numbers that were found in a tensor."""

    factor: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def is_unchanged(self) -> bool:
        """Whether pixels are as they came."""
        return bool(np.all(self._same))

    @property
    def parts(self) -> list[Affine]:
        """Those numbers that are as they came, and the others; one of them if all are alike."""
        return [Affine(self.factor[each], self.offset[each]) for each in (self._same, ~self._same) if np.any(each)]

    @property
    def _same(self) -> NDArray[np.bool_]:
        return (np.abs(self.factor - 1) < _NEAR) & (np.abs(self.offset) < _NEAR)

    def of(self, pixels: Range) -> Range:
        """The lowest and the highest number that a range becomes; the highest first where it is turned upside down."""
        ends = [self.factor * end + self.offset for end in pixels]
        low, high = float(np.min(ends)), float(np.max(ends))
        return (high, low) if np.all(self.factor < 0) else (low, high)

    def makes(self, pixels: Range, made: Range) -> bool:
        """Whether it turns one range into another, in every channel."""
        near = _NEAR * abs(made[1] - made[0])
        pairs = zip(pixels, made, strict=True)
        return all(bool(np.all(np.abs(self.factor * a + self.offset - b) <= near)) for a, b in pairs)


@dataclass(frozen=True)
class Scaling:
    """What a model's first steps do to its pictures."""

    steps: tuple[Step, ...]
    """Those that change their numbers, in order."""
    made: tuple[tuple[Step, Range], ...]
    """Each step that takes scaled pictures, and the lowest and highest number that it gets of `range`, or of 0:255
    where that is not known; empty if nothing scales."""
    range: Range | None
    """The numbers for pixels 0 and 255 that the steps are made for; None if they don't tell."""
    first: Step | None
    """The first step that is not read: it computes, or its class is not one of Keras."""

    @property
    def found(self) -> str:
        """What was found and where, as the middle of a sentence: "its own 'scale' (Rescaling) makes 0:1 of 0:255"."""
        if not self.made:
            return f"it begins with {_named(self.first)}" if self.first else "it computes nothing that is known"
        *others, last = [_named(step) for step in self.steps]
        names, make = (f"{', '.join(others)} and {last}", "make") if others else (last, "makes")
        given = shown_range(self.range or AS_PIXELS)
        made = dict.fromkeys((_named(step), shown_range(span)) for step, span in self.made)
        ranges = dict.fromkeys(span for _, span in made)
        if len(ranges) == 1:
            return f"its own {names} {make} {next(iter(ranges))} of {given}"
        return f"its own {names} {make} of {given} {' and '.join(f'{span} for {step}' for step, span in made)}"


def shown_range(pixels: Range) -> str:
    """A range as users write it."""
    return f"{pixels[0]:.4g}:{pixels[1]:.4g}"


def _named(step: Step) -> str:
    return f"{printable(step.name)!r} ({printable(step.kind)})"


class _Found(NamedTuple):
    """A tensor of the first steps."""

    value: NDArray[np.generic]
    """For each grey."""
    line: Affine | None
    """None if it does not depend on the pixels."""
    told: frozenset[Range] = frozenset()
    """The ranges that the steps before it tell."""


class _End(NamedTuple):
    """What comes to the first step that takes a tensor and is not read."""

    taker: Step
    line: Affine
    told: frozenset[Range]


def read_scaling(graph: Graph) -> Scaling:
    """Read what stands behind the one input of a model of pictures."""
    (pixels,) = graph.inputs.values()
    greys = np.array(_GREYS, pixels.dtype).reshape(-1, *(1 for _ in pixels.shape))
    value = np.broadcast_to(greys, (len(_GREYS), *(int(n or 0) for n in pixels.shape)))
    found = {pixels.number: _Found(value, _line(greys))}
    needed_until = {wire.number: at for at, step in enumerate(graph.steps) for wire in step.takes}
    scaling: list[Step] = []
    first: Step | None = None
    ends: dict[int, _End] = {}
    for at, step in enumerate(graph.steps):
        taken = {wire.number: found[wire.number] for wire in step.takes if wire.number in found}
        whole = step.plain and all(wire.number in found for wire in step.takes)
        made = _made(step, [found[wire.number] for wire in step.takes]) if whole else None
        if made is not None:
            found |= {wire.number: each for wire, each in zip(step.gives, made, strict=True)}
            scaling += [step] if _changes(list(taken.values()), made) else []
        elif taken:
            first = first or step
            lines = {number: _End(step, each.line, each.told) for number, each in taken.items() if each.line}
            ends |= {number: end for number, end in lines.items() if number not in ends}
        for number in taken:
            if needed_until[number] == at:  # whole pictures, of which there is not room for many
                del found[number]
    return _judged(scaling, first, list(ends.values()))


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


def _blocks(value: NDArray[np.generic]) -> Iterator[NDArray[np.float64]]:
    """Some numbers of the greys after others, without those that are as the last ones: most of a grey picture is."""
    numbers = value.reshape(len(_GREYS), -1)
    width = value.shape[-1] * max(1, _AT_ONCE // value.shape[-1])
    last = numbers[:, :0]
    for start in range(0, numbers.shape[1], width):
        block = numbers[:, start : start + width]
        if not np.array_equal(block, last):
            yield block.astype(np.float64)
        last = block


def _line(value: NDArray[np.generic]) -> Affine | None:
    """What became of the greys; None unless it lies on lines that depend on them."""
    if len(value) != len(_GREYS) or not value.size:
        return None
    scale = np.max([np.max(np.abs(block)) for block in _blocks(value)])
    found: list[NDArray[np.complex128]] = []
    for numbers in _blocks(value):
        factor = (numbers[-1] - numbers[0]) / (_GREYS[-1] - _GREYS[0])
        straight = numbers[0] + np.multiply.outer(np.array(_GREYS), factor)
        if not np.all(np.abs(numbers - straight) <= scale * _STRAIGHT):  # which what is not finite never is
            return None
        varies = np.abs(factor) * _GREYS[-1] > scale * 1e-6  # what a padding adds does not
        found.append(np.unique(factor[varies] + 1j * numbers[0][varies]))
    lines = np.unique(np.concatenate(found))
    return Affine(lines.real, lines.imag) if lines.size else None


def _changes(taken: Sequence[_Found], made: Sequence[_Found]) -> bool:
    before = [each.line.of(AS_PIXELS) for each in taken if each.line is not None]
    after = [each.line.of(AS_PIXELS) for each in made if each.line is not None]
    return any(not any(np.allclose(one, other, rtol=1e-3, atol=1e-3) for other in before) for one in after)


def _told(line: Affine) -> frozenset[Range]:
    """The usual range that becomes another one, which no other range would."""
    if line.is_unchanged:
        return frozenset()
    told = {given for given, others in _MADE_OF.items() if any(line.makes(given, made) for made in _both_ways(others))}
    return frozenset(told | {given for given in _INVERTED if line.makes(given, given[::-1])})


def _both_ways(ranges: tuple[Range, ...]) -> Iterator[Range]:
    for low, high in ranges:
        yield from ((low, high), (high, low))


def _judged(scaling: list[Step], first: Step | None, ends: list[_End]) -> Scaling:
    told = {range_ for end in ends for range_ in (end.told or _fits(end.line) or {None})}
    (known,) = told if len(told) == 1 else (None,)
    made = [(end.taker, part.of(known or AS_PIXELS)) for end in ends for part in end.line.parts]
    return Scaling(tuple(scaling), tuple(made) if scaling else (), known, first)


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
