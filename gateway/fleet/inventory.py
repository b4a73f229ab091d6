"""What a replica says that it serves: the models of its `GET /v1/stage`, read once a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from splitway.answers.classes.predictions import gives_classes
from splitway.kinds.image.kind import PICTURES
from splitway.names import NAME, VERSION, Role
from splitway.plan import ends
from splitway.schemas.message import first_mistake
from splitway.wire.tensor import MAX_RANK, TensorSpec

Offer = tuple[str, str]
"""A model's name and version."""
_CALLABLE = ("ready", "retiring")
"""States of versions that answer; of others, such as one that cannot be loaded, even the role may be unknown."""
_Name = Annotated[str, Field(pattern=NAME)]
_Version = Annotated[str, Field(pattern=VERSION)]

_MAX_SIZE = (1 << 31) - 1


def _can_be_shapes(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    for spec in specs:
        if len(spec.shape) > MAX_RANK or not all(-1 <= size <= _MAX_SIZE for size in spec.shape):
            raise ValueError(f"tensor {spec.name[:80]!r} has an impossible shape")
    return specs


_Specs = Annotated[tuple[TensorSpec, ...], AfterValidator(_can_be_shapes)]


@dataclass(frozen=True)
class ServedModel:
    """One version of one model that a replica can be asked for."""

    name: str
    version: str
    role: str
    is_default: bool
    state: str
    takes: str | None
    """The feature space of what comes in; None for an extractor."""
    gives: str | None
    """The feature space of what goes out; None for a head."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_rows: int | None = None
    """Rows that one request may have; None where an older stage does not say."""

    @property
    def offer(self) -> Offer:
        return self.name, self.version

    @property
    def preference(self) -> tuple[bool, int]:
        """Of two versions that would both do, the one with the higher preference is called."""
        return self.is_default, int(self.version)

    @property
    def takes_pictures(self) -> bool:
        return PICTURES in self.inputs

    @property
    def gives_classes(self) -> bool:
        return gives_classes(self.outputs)


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _OfferedVersion(_Said):
    """A version that can be called."""

    name: _Name
    version: _Version
    state: Literal["ready", "retiring"]
    is_default: bool
    role: Role
    feature_space: str | None = None
    gives_space: str | None = None
    inputs: _Specs = ()
    outputs: _Specs = ()
    max_rows: Annotated[int, Field(ge=1)] | None = None

    def model_served(self) -> ServedModel:
        """Raises ValueError where the role leaves no sense in the spaces."""
        takes, gives = ends(self.role, self.feature_space, self.gives_space)
        if (takes is None) != (self.role == "extractor") or (gives is None) != (self.role == "head"):
            raise ValueError(f"{self.role} {self.name} {self.version} does not say its feature spaces")
        known = (self.name, self.version, self.role, self.is_default, self.state)
        return ServedModel(*known, takes, gives, self.inputs, self.outputs, self.max_rows)


class _Inventory(_Said):
    ready: bool
    reason: str | None = None
    models: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Inventory:
    """All that a replica can be asked for, and why it is not ready, if it is not."""

    models: Mapping[Offer, ServedModel]
    not_ready_because: str | None


def read_inventory(body: bytes) -> Inventory:
    """Read what a replica says of itself. Raises ValueError saying what makes no sense."""
    try:
        said = _Inventory.model_validate_json(body)
        callable_ = [entry for entry in said.models if entry.get("state") in _CALLABLE]
        entries = [_OfferedVersion.model_validate(entry) for entry in callable_]
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from error
    models = [entry.model_served() for entry in entries]
    reason = None if said.ready else said.reason or "no reason given"
    return Inventory({model.offer: model for model in models}, reason)
