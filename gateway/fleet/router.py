"""Which version of which model a request may be sent to, and where: features never meet a stage of another space.

All of it follows from what the replicas say that they serve, and is worked out anew only when that changes. Where no
way leads over replicas that are ready, those count too that merely cannot be reached as far as is known, with what they
served last.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from splitway.errors import InvalidInput, Unavailable
from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replicas import ReplicaSet
from splitway.names import ALL_HEADS, DEFAULT_HEAD
from splitway.plan import can_take
from splitway.releases import Release

_ALL_HEADS = (ALL_HEADS,)
Target = Mapping[str, ServedModel]
"""The replicas that can do what is asked, by address, and the version that is to be called on each."""
_MEMO_ENTRIES = 1024
_UNKNOWN: Any = object()
Found = TypeVar("Found")


class NoChain(Unavailable):
    """No ready replicas lead from an extractor to the head."""


@dataclass(frozen=True, eq=False)
class Pins:
    """The versions that a release allows; nothing else is called for its requests."""

    release: str
    versions: Release

    def allow(self, model: ServedModel) -> bool:
        """Whether a model is of this release. A body that the release does not name may be any that fits."""
        of = self.versions
        if model.role == "extractor":
            return model.version == of.extractor and (bool(of.bodies) or model.gives == of.feature_space)
        if model.role == "body":
            return of.bodies.get(model.name, model.version) == model.version
        return of.heads.get(model.name) == model.version


class Want(NamedTuple):
    """Heads that one extraction is to serve, and the release that they are to be of."""

    heads: frozenset[str]
    pins: Pins | None = None


class Router:
    """Finds ways from the extractor through the bodies to the heads.

    Args:
        links: the stages in the order in which a request meets them: extractor, bodies, heads.
    """

    def __init__(self, links: Sequence[ReplicaSet]) -> None:
        self._links = links
        self._heads = links[-1]
        self._memo: dict[Hashable, Any] = {}
        """What was found since a replica last changed."""
        self.changes = 0
        """Grows whenever what is known of a replica changes."""
        for replicas in links:
            replicas.on_change(self._forget)

    def _forget(self) -> None:
        self.changes += 1
        self._memo.clear()

    def target(self, position: int, space: str | None, want: Want) -> Target:
        """Where a link, by its place from 0, is called with features of this space.

        Each replica is called at the version that leads to most of the wanted heads; the last link, at a wanted head.
        """
        found: Target | None = self._memo.get((position, space, want))
        if found is not None:
            return found
        known = self._known(want)

        def find() -> Target:
            return self._towards(position, space, known) or self._towards(position, space, known, tried=True)

        return self._remembered((position, space, known), find)

    def coverage(self, want: Want) -> frozenset[str]:
        """The wanted heads that one extraction can serve, over replicas that are tried if there is no other way."""
        return self.covered(want) or self.covered(want, tried=True)

    def covered(self, want: Want, *, tried: bool = False) -> frozenset[str]:
        """The same, over replicas that are ready, and those that are tried, if so told."""
        starts = self._towards(0, None, self._known(want), tried=tried).values()
        reached = (self._leads_to(0, model, want.pins, tried=tried) & want.heads for model in starts)
        return max(reached, key=len, default=frozenset())

    def heads(self, pins: Pins | None) -> list[str]:
        """The heads that there are, whether they can be reached now or not."""

        def find() -> list[str]:
            if pins is not None:
                return sorted(pins.versions.heads)
            return sorted({model.name for replica in self._heads.replicas for model in replica.models.values()})

        return self._remembered(("heads", pins), find)

    def named(self, heads: tuple[str, ...], pins: Pins | None) -> tuple[str, ...]:
        """The heads of a request: those named, the default for none, and for `*` all that give classes now.

        Raises:
            InvalidInput: none is named; there are several, and none of them is called `classifier`.
        """
        if not heads:
            known = self.heads(pins)
            if len(known) > 1 and DEFAULT_HEAD not in known:
                raise InvalidInput(f"this pipeline has several heads and no default: name one of {', '.join(known)}")
            return (known[0],) if len(known) == 1 else (DEFAULT_HEAD,)
        if heads != _ALL_HEADS:
            return heads
        reached = self.coverage(Want(frozenset(self.heads(pins)), pins))
        return tuple(name for name in self.heads(pins) if name in reached and self._gives_classes(name, pins))

    def _gives_classes(self, head: str, pins: Pins | None) -> bool:
        model = self.served_head(head, pins)
        return model is not None and model.gives_classes

    def served_head(self, name: str, pins: Pins | None) -> ServedModel | None:
        """A version of a head that may be called now; one that can be reached, if one can."""

        def find() -> ServedModel | None:
            given = self._given_on_the_way(pins)
            for tried in (False, True):
                offered = (model for _, model in self._offered(self._heads, pins, tried=tried))
                if models := [model for model in offered if model.name == name]:
                    return max(models, key=lambda model: (can_take(model, *given), *model.preference))
            return None

        return self._remembered(("served", name, pins), find) if name in self.heads(pins) else None

    def served_extractor(self, want: Want) -> ServedModel | None:
        """A version of the extractor that may be called now."""
        return max(self.target(0, None, want).values(), key=lambda model: model.preference, default=None)

    def most_rows(self, want: Want) -> tuple[int, str] | None:
        """How many rows all stages on the way take at once, and the model that takes the fewest; None if none says."""

        def find() -> tuple[int, str] | None:
            models = list(self.target(0, None, want).values())
            for replicas in self._links[1:]:
                offered = (model for _, model in self._offered(replicas, want.pins))
                models += [model for model in offered if replicas is not self._heads or model.name in want.heads]
            said = [(model.max_rows, model.name) for model in models if model.max_rows is not None]
            return min(said, default=None)

        return self._remembered(("rows", self._known(want)), find)

    def why_not_ready(self, pins: Pins | None) -> dict[str, str]:
        """Return, for each link that keeps every head from being reached, the reason; nothing if one can be.

        Replicas that are tried for want of a ready one do not make a link ready: the reason says that they are.
        """
        if self.covered(Want(frozenset(self.heads(pins)), pins)):
            return {}
        found = {replicas.name: replicas.why_not_ready() for replicas in self._links}
        reasons = {name: f"no replica of {name} is ready: {why}" for name, why in found.items() if why}
        if reasons:
            return reasons
        spaces = {replicas.name: self._spaces(replicas, pins) for replicas in self._links}
        for name, found_spaces in spaces.items():
            if not found_spaces:
                missing = "none" if pins is None else f"none of release {pins.release!r}"
                return {name: f"of the versions that {name} offers, {missing} can be called"}
        have = "; ".join(f"{name} has {', '.join(found_spaces)}" for name, found_spaces in spaces.items())
        return {self._heads.name: f"the stages are of different feature spaces: {have}"}

    def given_to_heads(self, pins: Pins | None) -> list[str]:
        """The feature spaces that the heads could be given; none where a link has nothing that can be called."""
        spaces = [self._spaces(replicas, pins) for replicas in self._links]
        return spaces[-2] if all(spaces) else []

    def _known(self, want: Want) -> Want:
        """The same without unknown heads: names made up by callers are not cached."""
        known = self.heads(want.pins)
        if all(head in known for head in want.heads):
            return want
        return Want(frozenset(head for head in want.heads if head in known), want.pins)

    def _given_on_the_way(self, pins: Pins | None) -> frozenset[str | None]:
        """The feature spaces in which a way from an extractor through all bodies can end."""
        spaces: frozenset[str | None] = frozenset({None})
        for replicas in self._links[:-1]:
            models = [model for _, model in self._offered(replicas, pins)]
            spaces = frozenset(model.gives for model in models if can_take(model, *spaces))
        return spaces

    def _spaces(self, replicas: ReplicaSet, pins: Pins | None) -> list[str]:
        """What a link gives, or of heads, what they take."""
        return sorted({str(m.takes if m.role == "head" else m.gives) for _, m in self._offered(replicas, pins)})

    def _towards(self, position: int, space: str | None, want: Want, *, tried: bool = False) -> Target:
        """On each replica of a link the version that leads to most of the wanted heads; only where that is the most."""
        fitting = [
            (len(self._leads_to(position, model, want.pins, tried=tried) & want.heads), url, model)
            for url, model in self._offered(self._links[position], want.pins, tried=tried)
            if can_take(model, space)
        ]
        most = max((count for count, _, _ in fitting), default=0)
        best: dict[str, ServedModel] = {}
        for count, url, model in fitting:
            if most and count == most and (url not in best or model.preference > best[url].preference):
                best[url] = model
        return best

    def _leads_to(self, position: int, model: ServedModel, pins: Pins | None, *, tried: bool) -> frozenset[str]:
        """The heads to which a version of a link leads; of the last link, itself."""
        if position == len(self._links) - 1:
            return frozenset({model.name})

        def find() -> frozenset[str]:
            offered = self._offered(self._links[position + 1], pins, tried=tried)
            onwards = (each for _, each in offered if can_take(each, model.gives))
            return frozenset().union(*(self._leads_to(position + 1, each, pins, tried=tried) for each in onwards))

        return self._remembered(("leads to", position, model.gives, pins, tried), find)

    def _offered(
        self, replicas: ReplicaSet, pins: Pins | None, *, tried: bool = False
    ) -> Iterator[tuple[str, ServedModel]]:
        """What can be called, by address: of replicas that are ready, and of those that are tried too, if so told."""
        for replica in (*replicas.ready, *(replicas.lost if tried else ())):
            for model in replica.models.values():
                if pins is None or pins.allow(model):
                    yield replica.url, model

    def _remembered(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What was found for this key since the replicas last changed."""
        found: Found = self._memo.get(key, _UNKNOWN)
        if found is _UNKNOWN:
            found = find()
            if len(self._memo) >= _MEMO_ENTRIES:
                self._memo.clear()
            self._memo[key] = found
        return found
