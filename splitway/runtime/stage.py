"""What a service adds to the runtime: how its inputs become the model's, and its outputs the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from splitway.answers.classes.predictions import gives_classes
from splitway.bundle import Bundle
from splitway.errors import FeatureSpaceMismatch, InvalidInput
from splitway.manifest import Manifest
from splitway.names import PROBABILITIES
from splitway.runtime.arrays import Arrays
from splitway.runtime.decode_room import NOTHING, DecodeLoad
from splitway.wire.messages import FEATURE_SPACE, InferRequest, RequestedOutput
from splitway.wire.tensor import Tensor, TensorSpec

Tensors = Mapping[str, Tensor]
GoOn = Callable[[], None]


class Stage(Protocol):
    """One service's part. `check` and `finish` must not block the event loop, nor `decode` where nothing needs it;
    where something does, it runs in a thread."""

    @property
    def accepts(self) -> Sequence[Sequence[TensorSpec]]:
        """What may be sent: the tensors of one of these alternatives, all of them and no others."""

    @property
    def gives(self) -> Sequence[TensorSpec]:
        """What can be asked for."""

    def warm_up(self) -> None:
        """Do once what is slow the first time. Called in a thread, before the stage is ready."""

    def check(self, request: InferRequest) -> None:
        """Refuse, before anything is computed, what this stage cannot rightly answer. Raises SplitwayError."""

    def needs_decoding(self, tensors: Tensors) -> bool:
        """Whether `decode` takes long enough to need a thread."""

    def weigh(self, tensors: Tensors) -> DecodeLoad:
        """Say what decoding takes, before it is decoded. Raises SplitwayError for what never can be."""

    def decode(self, tensors: Tensors, go_on: GoOn, load: DecodeLoad = NOTHING) -> Arrays:
        """Turn what was sent into the model's inputs; `load` is what `weigh` said of it. Between long steps call
        `go_on`, which raises if the caller has gone."""

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        """Turn the model's outputs into what was asked for."""


class TensorStage:
    """Takes all tensors of the manifest's inputs, gives those of its outputs; a Stage, and the base of the services'.

    Features are taken only if they say that they are of the space this model was trained on, and never travel on
    without the space that gives them their meaning.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.manifest: Manifest = bundle.manifest
        self.accepts: Sequence[Sequence[TensorSpec]] = (tuple(entry.spec for entry in bundle.manifest.inputs),)
        self.gives: Sequence[TensorSpec] = tuple(entry.spec for entry in bundle.manifest.outputs)
        self._gives_classes = gives_classes(self.gives)
        self._takes, gives_space = bundle.manifest.takes, bundle.manifest.gives
        self._says = {} if gives_space is None else {FEATURE_SPACE: gives_space}

    def warm_up(self) -> None:
        """Nothing here is slow the first time."""

    def check(self, request: InferRequest) -> None:
        """Raise FeatureSpaceMismatch for foreign features, InvalidInput for classes of what has none."""
        if self._takes is not None:
            check_feature_space(request, self._takes, self.manifest.role)
        for output in request.outputs:
            self._check_classification(output)

    def needs_decoding(self, tensors: Tensors) -> bool:
        return False

    def weigh(self, tensors: Tensors) -> DecodeLoad:
        return NOTHING

    def decode(self, tensors: Tensors, go_on: GoOn, load: DecodeLoad = NOTHING) -> Arrays:
        return {name: tensor.array for name, tensor in tensors.items()}

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        asked = {output.name for output in request.outputs} or {spec.name for spec in self.gives}
        return [Tensor.of_array(s.name, outputs[s.name], self._says) for s in self.gives if s.name in asked]

    def _check_classification(self, output: RequestedOutput) -> None:
        if output.top_k and (output.name != PROBABILITIES or not self._gives_classes):
            raise InvalidInput(
                f"output {output.name[:80]!r} has no classes: classification is for {PROBABILITIES!r} of two dimensions"
            )


def check_feature_space(request: InferRequest, space: str, role: str) -> None:
    """Check that every tensor names this feature space, on itself or on the request, and none another.

    Args:
        request: what was sent.
        space: what the model was trained on.
        role: what the model is called in the error.

    Raises:
        FeatureSpaceMismatch: a tensor names none, or another one.
    """
    on_request = request.parameters.get(FEATURE_SPACE)
    for tensor in request.inputs:
        named = {each for each in (tensor.parameters.get(FEATURE_SPACE), on_request) if each is not None}
        if not named:
            raise FeatureSpaceMismatch(
                f"tensor {tensor.name[:80]!r} does not say which feature space it is from: set "
                f"parameters.{FEATURE_SPACE}; this {role} was trained on {space}"
            )
        if named != {space}:
            foreign = ", ".join(sorted(str(each)[:40] for each in named))
            raise FeatureSpaceMismatch(
                f"tensor {tensor.name[:80]!r} is from {foreign}; this {role} was trained on {space}"
            )
