"""Cut a model's graph into parts, and name the spaces that their features live in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from splitway.errors import ModelError
from splitway.manifest import Preprocessing
from splitway.names import FEATURES, PIXELS
from splitway.splitter.cuts import ROOM, fault_of, why_never, why_not
from splitway.splitter.graph import Graph, Part, Step, Wire, features_names
from splitway.splitter.readers.description import no_layer
from splitway.wire.room import Room

_PICTURE_TYPES = ("uint8", "float32")


@dataclass(frozen=True)
class CutModel:
    """A model in parts that follow each other."""

    graph: Graph
    parts: tuple[Part, ...]
    """Two or more. Each takes the tensors that the one before it gives."""
    layers: tuple[str, ...]
    """The layers after which it was cut, in order: one less than parts."""
    crossing: tuple[tuple[str, ...], ...]
    """For each cut, the layers (or inputs) whose tensors cross."""

    @property
    def whole(self) -> Part:
        """The model uncut, with the names that the parts have at its ends."""
        return Part(self.parts[0].takes, tuple(self.graph.steps), self.parts[-1].gives)

    def bytes_per_row(self, cut: int) -> int:
        """Of everything that crosses at a cut."""
        return sum(wire.bytes_per_row for wire in self.parts[cut].gives.values())


def takes_pictures(graph: Graph) -> bool:
    """Whether the model's one input can be an RGB picture of a fixed size."""
    wires = list(graph.inputs.values())
    if len(wires) != 1 or wires[0].dtype not in _PICTURE_TYPES:
        return False
    shape = wires[0].shape
    return len(shape) == 3 and shape[-1] == 3 and None not in shape


def cut_model(graph: Graph, at: Sequence[str], room: Room = ROOM) -> CutModel:
    """Cut after each of the layers `at`, in whatever order they are named; `room` is what may cross.

    Raises:
        ModelError: there is no such layer, the model cannot be cut there, or not served at all; says why.
    """
    if reason := why_never(graph):
        raise ModelError(reason)
    befores = _befores(graph, at, room)
    _check_ends(graph)
    bounds = [frozenset[int](), *(before for before, _ in befores), frozenset(range(len(graph.steps)))]
    inputs = dict(graph.inputs)
    if takes_pictures(graph):
        inputs = {PIXELS: next(iter(inputs.values()))}
    edges = [inputs]
    for before, _ in befores:
        wires = graph.crossing(before)
        edges.append(dict(zip(features_names(len(wires), FEATURES), wires, strict=True)))
    edges.append(dict(graph.outputs))
    parts = tuple(
        Part(edges[i], tuple(graph.steps[s] for s in sorted(bounds[i + 1] - bounds[i])), edges[i + 1])
        for i in range(len(befores) + 1)
    )
    crossing = tuple(tuple(_maker(graph, wire) for wire in edge.values()) for edge in edges[1:-1])
    return CutModel(graph, parts, tuple(name for _, name in befores), crossing)


def _befores(graph: Graph, at: Sequence[str], room: Room) -> list[tuple[frozenset[int], str]]:
    """For each cut, the steps that run before it, and its layer; the smallest first."""
    places = [(find_steps(graph, name), name) for name in at]
    if not places:
        raise ModelError("no layer is named to cut after")
    needed = [
        (frozenset[int]().union(*map(graph.needed_for, positions)), positions, name) for positions, name in places
    ]
    befores: list[tuple[frozenset[int], str]] = []
    before: frozenset[int] = frozenset()
    for own, positions, named in sorted(needed, key=lambda each: (len(each[0]), each[1])):
        more = before | own
        name = graph.steps[positions[0]].name if len(positions) == 1 else named
        if more == before:
            raise ModelError(f"between {befores[-1][1]!r} and {name!r} there is nothing to run: name each cut once")
        if reason := next((reason for at in positions if (reason := why_not(graph, at, more, room))), None):
            raise ModelError(f"the model cannot be cut after {name!r}: {reason}")
        before = more
        befores.append((before, name))
    return befores


def find_steps(graph: Graph, name: str) -> tuple[int, ...]:
    """The position of the step of this name: a layer's, with or without the nested models around it; or those of the
    steps that make a nested model's outputs. Raises ModelError if there is none, or several, and names the nearest.
    """
    names = [step.name for step in graph.steps]
    found = [at for at, each in enumerate(names) if each == name]
    if not found and name in graph.nested:
        return _ends_of(graph, name)
    found = found or [at for at, each in enumerate(names) if each.endswith(f"/{name}")]
    models = [each for each in graph.nested if each.endswith(f"/{name}")] if name not in names else []
    owners = {id(graph.steps[at].owner): names[at] for at in found}
    if len(owners) + len(models) > 1:
        called = ", ".join([*owners.values(), *models][:4])
        raise ModelError(f"several layers are called {name!r}: name one of {called}")
    if models:
        return _ends_of(graph, models[0])
    if found:
        return (found[-1],)
    if name in graph.inputs:
        raise ModelError(f"{name!r} is an input of the model: there is nothing before it to cut off")
    holder = next((step for step in graph.steps if name in step.parts), None)
    if holder is not None:
        raise ModelError(
            f"{name!r} runs inside the layer {holder.name!r} ({holder.kind}), which cannot be cut through; "
            f"cut after {holder.name!r}"
        )
    known = {each.rsplit("/", 1)[-1]: each for each in (*names, *graph.nested)} | {each: each for each in names}
    raise no_layer(name, known, names)


def _ends_of(graph: Graph, model: str) -> tuple[int, ...]:
    if not graph.nested[model]:
        raise ModelError(f"the nested model {model!r} hands on what it takes: there is nothing in it to cut off")
    return graph.nested[model]


def _check_ends(graph: Graph) -> None:
    """Raise ModelError for inputs and outputs that the wire format does not carry."""
    for what, wires in (("input", graph.inputs), ("output", graph.outputs)):
        for name, wire in wires.items():
            if fault := fault_of(wire):
                but = "; build it with a fixed one" if wire.has_rows and None in wire.shape else ""
                raise ModelError(f"the model's {what} {name!r} {fault}{but}")


def _maker(graph: Graph, wire: Wire) -> str:
    made = (step.name for step in graph.steps if wire in step.gives)
    return next(made, None) or next(name for name, each in graph.inputs.items() if each == wire)


def feature_space(cut: CutModel, place: int, preprocessing: Preprocessing | None) -> str:
    """Hash everything that defines the features at a cut, from 0: graph, weights, preprocessing of pictures, and cut.

    Two features with the same fingerprint may be compared, averaged and classified together; others may not. Names of
    layers have no part in it, nor have the other cuts that are made.
    """
    steps = _needed_in_order(cut.graph, tuple(cut.parts[place].gives.values()))
    numbers: dict[int, int] = {}
    for wire in (*cut.graph.inputs.values(), *(wire for step in steps for wire in step.gives)):
        numbers.setdefault(wire.number, len(numbers))

    def numbered(wires: Iterable[Wire]) -> list[int]:
        return [numbers[wire.number] for wire in wires]

    parts = {
        "inputs": [[*map(str, wire.shape), wire.dtype] for wire in cut.graph.inputs.values()],
        "steps": [{**step.identity, "takes": numbered(step.takes), "gives": numbered(step.gives)} for step in steps],
        "outputs": numbered(cut.parts[place].gives.values()),
        "preprocessing": preprocessing and preprocessing.model_dump(mode="json"),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for step in steps:
        for weight in step.weights:
            array = np.ascontiguousarray(weight.numpy())
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.tobytes())
    return f"fs:{digest.hexdigest()[:16]}"


def _needed_in_order(graph: Graph, wanted: tuple[Wire, ...]) -> list[Step]:
    """The steps that some tensors need, each after its inputs. The order does not depend on the model's own."""
    maker = {wire.number: step for step in graph.steps for wire in step.gives}
    found: dict[int, Step] = {}
    to_see = [(maker[wire.number], False) for wire in reversed(wanted) if wire.number in maker]
    while to_see:
        step, has_all = to_see.pop()
        if has_all:
            found.setdefault(id(step), step)
        elif id(step) not in found:
            takes = [maker[wire.number] for wire in reversed(step.takes) if wire.number in maker]
            to_see += [(step, True), *((each, False) for each in takes)]
    return list(found.values())
