"""Random numbers in a SavedModel: layers that only disturb what goes through them hand it on when they serve.

Keras exports its augmentation as if the model were trained; nothing in the file says that it is to be left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from splitway.errors import ModelError
from splitway.splitter.graph import reached

_DRAWS = re.compile(
    r"Random\w+|TruncatedNormal|ParameterizedTruncatedNormal|Multinomial|Rng(Read)?\w*Skip"
    r"|Stateful(Uniform\w*|StandardNormalV2|TruncatedNormal|RandomBinomial)"
)
"""Operations that give other numbers each time."""
_DRAWS_BY_SEED = re.compile(r"Stateless(Random\w+|TruncatedNormal\w*|ParameterizedTruncatedNormal|Multinomial|Shuffle)")
"""Operations that give other numbers where their seed is a variable."""
_NO_NUMBERS = re.compile(r"StatelessRandomGet\w+")
_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
_FLOATS = ("float16", "bfloat16", "float32", "float64")


class Disturbance(NamedTuple):
    """A scope that draws random numbers, and the tensor that it takes and the one that it gives in its place."""

    scope: str
    takes: Any
    gives: Any


def without_calls(name: str) -> str:
    """An operation's name without the calls of functions that it was in."""
    parts = name.split("/")
    while len(parts) > 1 and parts[0].startswith(_CALLS):
        parts = parts[1:]
    return "/".join(parts)


class _Flow:
    """What each tensor of a graph is made of, where some are replaced by others."""

    def __init__(self, graph: Any, inputs: Iterable[Any], outputs: Iterable[Any], held: Mapping[str, str]) -> None:
        self.operations = graph.get_operations()
        self.outputs = list(outputs)
        self.held = held
        self.instead: dict[str, Any] = {}
        self._library = {each.signature.name: each for each in graph.as_graph_def().library.function}
        self.made_of_inputs = self._behind_inputs({tensor.name for tensor in inputs})

    def _behind_inputs(self, inputs: set[str]) -> set[str]:
        found = set(inputs)
        for operation in self.operations:
            if any(tensor.name in found for tensor in operation.inputs):
                found |= {tensor.name for tensor in operation.outputs}
        return found

    def behind(self, tensors: Iterable[Any]) -> list[Any]:
        """The operations that make some tensors, the nearest first."""

        def makers(tensors: Iterable[Any]) -> list[Any]:
            return [self.instead.get(tensor.name, tensor).op for tensor in tensors]

        found = reached(makers(tensors), lambda operation: makers(operation.inputs), lambda operation: operation.name)
        return list(found.values())

    def draws(self, operation: Any) -> bool:
        """Whether an operation, or a function that it calls, gives other numbers each time."""
        functions = reached(
            self._called([operation.node_def]), lambda f: self._called(f.node_def), lambda f: f.signature.name
        )
        kinds = {operation.type, *(node.op for each in functions.values() for node in each.node_def)}
        seeded = any(_DRAWS_BY_SEED.fullmatch(kind) and not _NO_NUMBERS.fullmatch(kind) for kind in kinds)
        if seeded:
            seeded = any(tensor.name in self.held for each in self.behind(operation.inputs) for tensor in each.outputs)
        return seeded or any(_DRAWS.fullmatch(kind) for kind in kinds)

    def _called(self, nodes: Iterable[Any]) -> list[Any]:
        """The functions that some nodes call."""
        named = (f.name for node in nodes for value in node.attr.values() for f in (value.func, *value.list.func))
        return [self._library[name] for name in (*named, *(node.op for node in nodes)) if name in self._library]


def find_disturbances(
    graph: Any, inputs: Iterable[Any], outputs: Iterable[Any], held: Mapping[str, str]
) -> list[Disturbance]:
    """Find the scopes whose random numbers reach the outputs, and that can hand on what they take.

    `held` has the datatypes of variables by the names of the tensors that bring them in. Raises ModelError if random
    numbers reach the outputs in another way.
    """
    flow = _Flow(graph, inputs, outputs, held)
    found: list[Disturbance] = []
    while (drawing := next((each for each in flow.behind(flow.outputs) if flow.draws(each)), None)) is not None:
        scopes = (_scope(flow, prefix) for prefix in _prefixes(drawing.name))
        fitting = next((each for each in scopes if each is not None and _is_without(flow, each, drawing)), None)
        if fitting is None:
            raise ModelError(
                f"its answers depend on random numbers, drawn for each request in {without_calls(drawing.name)!r}; "
                "save the model with model.save('name.keras'), where such layers can be told to serve"
            )
        flow.instead[fitting.gives.name] = fitting.takes
        found.append(fitting)
    return found


def _prefixes(name: str) -> Iterator[str]:
    """The scopes around an operation, the innermost first."""
    parts = name.split("/")
    for count in range(len(parts) - 1, 0, -1):
        yield "/".join(parts[:count])


def _scope(flow: _Flow, prefix: str) -> Disturbance | None:
    """A scope with what it takes and gives, where that is one tensor each and of one form; it has no weights."""
    inside = [each for each in flow.operations if f"{each.name}/".startswith(f"{prefix}/")]
    names = {each.name for each in inside}
    last = {tensor.name for tensor in flow.outputs}
    outside = [flow.instead.get(t.name, t) for each in inside for t in each.inputs if t.op.name not in names]
    takes = list({tensor.name: tensor for tensor in outside if tensor.name in flow.made_of_inputs}.values())
    made = [t for each in inside for t in each.outputs if t.name in flow.made_of_inputs]
    gives = [t for t in made if t.name in last or any(user.name not in names for user in t.consumers())]
    weights = [tensor for tensor in outside if flow.held.get(tensor.name) in _FLOATS]
    if len(takes) != 1 or len(gives) != 1 or weights or not _alike(takes[0], gives[0]):
        return None
    return Disturbance(prefix, takes[0], gives[0])


def _alike(one: Any, other: Any) -> bool:
    shapes = one.shape, other.shape
    ranks = {shape.rank for shape in shapes}
    return one.dtype == other.dtype and ranks not in ({0}, {None}) and shapes[0].is_compatible_with(shapes[1])


def _is_without(flow: _Flow, scope: Disturbance, drawing: Any) -> bool:
    """Whether an operation has no part in the outputs where a scope hands on what it takes."""
    flow.instead[scope.gives.name] = scope.takes
    needed = {each.name for each in flow.behind(flow.outputs)}
    del flow.instead[scope.gives.name]
    return drawing.name not in needed
