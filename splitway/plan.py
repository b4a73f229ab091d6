"""Which stage can follow which: one that takes the feature space that the other gives. Everything that plans asks here.

A stage that takes None takes what callers send; one that gives None gives the answer.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from splitway.names import Role


class Link(Protocol):
    """A bundle, or a model that a replica serves."""

    @property
    def takes(self) -> str | None: ...

    @property
    def gives(self) -> str | None: ...


class Ends(NamedTuple):
    """The feature spaces of what comes in and of what goes out."""

    takes: str | None
    gives: str | None


def ends(role: Role, feature_space: str | None, gives_space: str | None) -> Ends:
    """Read what manifests and inventories say: an extractor's feature space is what it gives, any other's what it
    takes."""
    return Ends(None, feature_space) if role == "extractor" else Ends(feature_space, gives_space)


def can_take(stage: Link, *spaces: str | None) -> bool:
    """Whether a stage can be called with features of one of these spaces."""
    return stage.takes in spaces


def can_follow(before: Link, after: Link) -> bool:
    """Whether one stage takes what another gives."""
    return before.gives is not None and can_take(after, before.gives)
