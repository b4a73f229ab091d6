"""What a replica says that it serves: the models of its `GET /v1/stage`, read once a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

from splitway.answers.classes.predictions import gives_classes
from splitway.errors import first_mistake
from splitway.kinds.image.kind import PICTURES
from splitway.names import NAME, VERSION, Role
from splitway.plan import ends
from splitway.wire.tensor import MAX_RANK, TensorSpec

Offer = tuple[str, str]
"""A model's name and version."""
_CALLABLE = ("ready", "retiring")
"""States of versions that answer; of others, such as one that cannot be loaded, even the role may be unknown."""
_MAX_SIZE = (1 << 31) - 1


def _can_be_shapes(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    for spec in specs:
        if len(spec.shape) > MAX_RANK or not all(-1 <= size <= _MAX_SIZE for size in spec.shape):
            raise ValueError(f"tensor {spec.name[:80]!r} has an impossible shape")
    return specs


_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Specs = Annotated[tuple[TensorSpec, ...], AfterValidator(_can_be_shapes)]


@dataclass(frozen=True)
class ServedModel:
    """One version of one model that a replica can be asked for."""

    name: Annotated[str, Field(pattern=NAME)]
    version: Annotated[str, Field(pattern=VERSION)]
    role: Role
    is_default: bool
    state: Literal["ready", "retiring"]
    takes: Annotated[str | None, Field(validation_alias="feature_space")] = None
    """The feature space of what comes in; None for an extractor."""
    gives: Annotated[str | None, Field(validation_alias="gives_space")] = None
    """The feature space of what goes out; None for a head."""
    inputs: _Specs = ()
    outputs: _Specs = ()
    max_rows: Annotated[int, Field(ge=1)] | None = None
    """Rows that one request may have; None where an older stage does not say."""
    threshold: _Share | None = None
    """The least probability of a label that a multi-label head gives; None for every other model."""
    unsure_below: _Share | None = None
    """A first class of a lower probability is to be shown as not sure."""

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


_MODEL = TypeAdapter(ServedModel)


def _read_model(entry: Mapping[str, Any]) -> ServedModel:
    """Raises ValueError, also where the role leaves no sense in the spaces."""
    said = _MODEL.validate_python(entry)
    takes, gives = ends(said.role, said.takes, said.gives)
    if (takes is None) != (said.role == "extractor") or (gives is None) != (said.role == "head"):
        raise ValueError(f"{said.role} {said.name} {said.version} does not say its feature spaces")
    return replace(said, takes=takes, gives=gives)


class _Inventory(BaseModel):
    ready: bool
    reason: str | None = None
    models: tuple[dict[str, Any], ...]
    started_at: AwareDatetime | None = None


@dataclass(frozen=True)
class Inventory:
    """All that a replica can be asked for, and why it is not ready, if it is not."""

    models: Mapping[Offer, ServedModel]
    not_ready_because: str | None
    started_at: datetime | None = None
    """When its process began; None where an older stage does not say."""


def read_inventory(body: bytes) -> Inventory:
    """Read what a replica says of itself. Raises ValueError saying what makes no sense."""
    try:
        said = _Inventory.model_validate_json(body)
        models = [_read_model(entry) for entry in said.models if entry.get("state") in _CALLABLE]
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from error
    reason = None if said.ready else said.reason or "no reason given"
    return Inventory({model.offer: model for model in models}, reason, said.started_at)
