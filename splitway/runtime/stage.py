"""What a service adds to the runtime: how its inputs become the model's, and its outputs the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from splitway.bundle import FEATURES, Bundle
from splitway.errors import EngineFailed
from splitway.runtime.engine import Arrays
from splitway.wire.tensor import Tensor, TensorSpec
from splitway.wire.v2_json import FEATURE_SPACE, InferRequest

Tensors = Mapping[str, Tensor]
GoOn = Callable[[], None]


class Stage(Protocol):
    """One service's part. `check` and `finish` must not block the event loop, nor `decode` where nothing needs it;
    where something does, it runs in a thread."""

    @property
    def accepts(self) -> Sequence[TensorSpec]:
        """What may be sent; where there are several, exactly one of them."""

    @property
    def gives(self) -> Sequence[TensorSpec]:
        """What can be asked for."""

    def warm_up(self) -> None:
        """Do once what is slow the first time. Called in a thread, before the stage is ready."""

    def check(self, request: InferRequest) -> None:
        """Refuse, before anything is computed, what this stage cannot rightly answer. Raises SplitwayError."""

    def needs_decoding(self, tensors: Tensors) -> bool:
        """Whether `decode` takes long enough to need a thread."""

    def decode(self, tensors: Tensors, go_on: GoOn) -> Arrays:
        """Turn what was sent into the model's inputs; between long steps call `go_on`, which raises if nobody waits."""

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        """Turn the model's outputs into what was asked for."""


def features_tensor(bundle: Bundle, outputs: Arrays) -> Tensor:
    """The features with the feature space that gives them their meaning; they never travel without it."""
    return Tensor.of_array(FEATURES, outputs[FEATURES], {FEATURE_SPACE: bundle.manifest.feature_space})


def check_finite(outputs: Arrays, name: str) -> None:
    """Raise EngineFailed if a model gave NaN or infinity: nonsense must not travel on."""
    if not np.isfinite(outputs[name]).all():
        raise EngineFailed(f"the model gave NaN or infinity in {name!r}")
