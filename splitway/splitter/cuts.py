"""Every possible cut of a model, the tensors that cross it, and the best cut for a head that changes often.

A cut after a layer leaves in the backbone every step that the layer needs, and in the head all others. The tensors that
cross are made in the backbone and taken in the head: one after most layers, several in the middle of a skip connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from splitway.errors import ModelError
from splitway.splitter.graph import Graph, Wire, shown_shape
from splitway.wire.room import Room
from splitway.wire.tensor import NUMPY_DTYPES

HOP_MS = 1.0
"""The time of one more hop through the gateway: `network` of the classifier's hop, which carries 5 KB
(docs/operations.md, `splitway bench --explain`)."""
MS_PER_KB = 0.006
"""The time that each further kilobyte adds: the same figure of the extractor's hop, which carries 42 KB."""
FLOPS_PER_MS = 1.6e8
"""Speed of one client's inference: EfficientNet-Lite0's 0.8 GFLOPs in 4.9 ms (the same page)."""
SAME_MS = 0.01
"""Estimates that differ by less (a hundredth of a hop) count as equal."""
SMALLEST_BACKBONE = 0.1
"""The least share of the FLOPs or of the parameters that is worth a stage of its own."""
ROOM = Room()
CARRIED = {str(dtype) for dtype in NUMPY_DTYPES.values()}


@dataclass(frozen=True)
class CutOption:
    """A cut after one layer.

    Args:
        layer: its name, with those of the nested models that it is in.
        tensors: what crosses.
        bytes_per_row: of all of them.
        flops_before, parameters_before: the backbone's share of the whole, from 0 to 1. FLOPs are estimated from
            kernels and output shapes.
        head_ms: what one more head on the same features would cost a request: the wire and the head's own work.
        why_not: why it cannot be cut here; None if it can.
        place: the position of its layer; of one that computes nothing when it serves, that of the layer before it.
    """

    layer: str
    kind: str
    tensors: tuple[Wire, ...]
    bytes_per_row: int
    flops_before: float
    parameters_before: float
    wire_ms: float
    head_ms: float
    why_not: str | None
    place: int = 0

    @property
    def has_a_backbone(self) -> bool:
        """Whether the part before the cut is large enough for a stage of its own."""
        return max(self.flops_before, self.parameters_before) >= SMALLEST_BACKBONE


def find_cuts(graph: Graph, room: Room = ROOM) -> list[CutOption]:
    """Return a cut for each layer, in the order in which they run; `room` is what may cross."""
    work = [step.flops for step in graph.steps]
    never, parameters = why_never(graph), _parameters(graph, range(len(graph.steps)))
    return [_option(graph, at, work, parameters, never, room) for at in range(len(graph.steps))]


def ranked(cuts: list[CutOption]) -> list[CutOption]:
    """The possible cuts, best first: the cut is best where one more head on the same features costs least.

    A head without parameters comes after all that have some, and a backbone with next to nothing in it comes last. Of
    cuts that cost the same, by estimates as coarse as these, the later one is better: more of the model is shared. A
    layer that computes nothing when it serves, such as dropout, belongs to the head that was trained with it.
    """

    def kind(cut: CutOption) -> tuple[bool, bool]:
        return not cut.has_a_backbone, cut.parameters_before >= 1

    left = sorted((cut for cut in cuts if cut.why_not is None), key=lambda cut: (kind(cut), cut.head_ms))
    found: list[CutOption] = []
    while left:
        same = [c for c in left if kind(c) == kind(left[0]) and c.head_ms - left[0].head_ms < SAME_MS]
        found += sorted(same, key=lambda cut: -cut.place)  # stable: what computes nothing comes second
        left = left[len(same) :]
    return found


def best_cut(cuts: list[CutOption]) -> CutOption:
    """The best cut that leaves a head something to train; any that can be made where none does. Raises ModelError."""
    possible = ranked(cuts)
    if not possible:
        reasons = sorted({cut.why_not for cut in cuts if cut.why_not})
        raise ModelError(f"no layer of this model can be cut: {'; '.join(reasons[:2]) or 'it has too few'}")
    return possible[0]


def _parameters(graph: Graph, positions: Iterable[int]) -> int:
    owners = {id(graph.steps[at].owner): graph.steps[at].parameters for at in positions}
    return sum(owners.values())


def _option(graph: Graph, at_step: int, work: list[float], parameters: int, never: str | None, room: Room) -> CutOption:
    step, before = graph.steps[at_step], graph.needed_for(at_step)
    after = set(range(len(graph.steps))) - before
    tensors = graph.crossing(before)
    size = sum(wire.bytes_per_row for wire in tensors)
    wire_ms = HOP_MS + size / 1e3 * MS_PER_KB
    return CutOption(
        step.name,
        step.kind,
        tensors,
        size,
        sum(work[at] for at in before) / max(1.0, sum(work)),
        _parameters(graph, before) / max(1, parameters),
        wire_ms,
        wire_ms + sum(work[at] for at in after) / FLOPS_PER_MS,
        never or why_not(graph, at_step, before, room),
        _place(graph, at_step),
    )


def _place(graph: Graph, at_step: int) -> int:
    """The step itself. If it computes nothing, the last step before it that does."""
    while not graph.steps[at_step].flops:
        taken = {wire.number for wire in graph.steps[at_step].takes}
        makers = [at for at in range(at_step) if taken & {wire.number for wire in graph.steps[at].gives}]
        if len(makers) != 1:
            break
        at_step = makers[0]
    return at_step


def why_never(graph: Graph) -> str | None:
    """Why the model cannot be served, wherever it is cut; None if it can."""
    return next((step.refusal for step in graph.steps if step.refusal is not None), None)


def why_not(graph: Graph, at_step: int, before: frozenset[int], room: Room) -> str | None:
    """Why there can be no cut after a step that leaves these steps before it; None if there can."""
    step = graph.steps[at_step]
    uses = sum(each.owner is step.owner for each in graph.steps)
    if len(before) == len(graph.steps):
        return "nothing is left for the head"
    if uses > 1:
        return f"the layer is used {uses} times; a cut needs one that is used once"
    owners = {id(graph.steps[at].owner) for at in before if graph.steps[at].weights}
    shared = next((s for at, s in enumerate(graph.steps) if at not in before and id(s.owner) in owners), None)
    if shared is not None:
        return f"it goes through {shared.name!r}, which is used on both sides: its weights would be in two stages"
    tensors = graph.crossing(before)
    if any(wire.masked for wire in tensors):
        return "a tensor that crosses carries a mask, which would stay behind: cut after the layers that use the mask"
    if fault := next((fault for wire in tensors if (fault := fault_of(wire))), None):
        return f"a tensor that crosses {fault}"
    return room.why_not(sum(wire.bytes_per_row for wire in tensors))


def fault_of(wire: Wire) -> str | None:
    """Why a tensor cannot travel, as the end of a sentence; None if it can."""
    if not wire.has_rows:
        return "has no rows of its own: it is the same for a whole batch"
    if None in wire.shape:
        return f"has rows of unknown shape {shown_shape(wire.shape)}"
    return None if wire.travels_as in CARRIED else f"is {wire.dtype}, which the wire does not carry"
