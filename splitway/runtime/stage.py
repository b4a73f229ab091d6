"""What a service adds to the runtime: how its inputs become the model's, and its outputs the caller's.

And whether tensors are what a model takes: their names, types and shapes, and the numbers in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from splitway.answers.classes.predictions import gives_classes
from splitway.bundle import Bundle
from splitway.errors import FeatureSpaceMismatch, InvalidInput, TooLarge
from splitway.manifest import Manifest, TensorEntry
from splitway.names import PROBABILITIES
from splitway.runtime.batching.unfit import check_range
from splitway.runtime.decode_room import NOTHING, DecodeLoad
from splitway.wire.messages import FEATURE_SPACE, InferRequest
from splitway.wire.tensor import Arrays, Tensor, TensorSpec

Tensors = Mapping[str, Tensor]
GoOn = Callable[[], None]


class Stage:
    """Takes all tensors of the manifest's inputs, gives those of its outputs; the base of the services' own.

    `check` and `finish` must not block the event loop, nor `decode` where nothing needs it; where something does, it
    runs in a thread.

    Features are taken only if they say that they are of the space this model was trained on, and never travel on
    without the space that gives them their meaning.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.manifest: Manifest = bundle.manifest
        self.accepts: Sequence[Sequence[TensorSpec]] = (tuple(entry.spec for entry in bundle.manifest.inputs),)
        """What may be sent: the tensors of one of these alternatives, all of them and no others."""
        self.gives: Sequence[TensorSpec] = tuple(entry.spec for entry in bundle.manifest.outputs)
        """What can be asked for."""
        self._gives_classes = gives_classes(self.gives)
        self._takes, gives = bundle.manifest.takes, bundle.manifest.gives
        self._says = {} if gives is None else {FEATURE_SPACE: gives}

    def warm_up(self) -> None:
        """Do once what is slow the first time. Called in a thread, before the stage is ready."""

    def check(self, request: InferRequest) -> None:
        """Refuse, before anything is computed, what this stage cannot rightly answer.

        Raises:
            FeatureSpaceMismatch: features are foreign.
            InvalidInput: classes are asked for of what has none.
        """
        if self._takes is not None:
            check_feature_space(request, self._takes, self.manifest.role)
        for output in request.outputs:
            if output.top_k and (output.name != PROBABILITIES or not self._gives_classes):
                what = f"classification is for {PROBABILITIES!r} of two dimensions"
                raise InvalidInput(f"output {output.name[:80]!r} has no classes: {what}")

    def needs_decoding(self, tensors: Tensors) -> bool:
        """Whether `decode` takes long enough to need a thread."""
        return False

    def weigh(self, tensors: Tensors) -> DecodeLoad:
        """Say what decoding takes, before it is decoded. Raises SplitwayError for what never can be."""
        return NOTHING

    def decode(self, tensors: Tensors, go_on: GoOn = lambda: None, load: DecodeLoad = NOTHING) -> Arrays:
        """Turn what was sent into the model's inputs; `load` is what `weigh` said of it. Between long steps call
        `go_on`, which raises if the caller has gone."""
        return {name: tensor.array for name, tensor in tensors.items()}

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        """Turn the model's outputs into what was asked for."""
        asked = {output.name for output in request.outputs} or {spec.name for spec in self.gives}
        return [Tensor.of_array(s.name, outputs[s.name], self._says) for s in self.gives if s.name in asked]


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


class InputCheck:
    """Refuses what a model does not take.

    Args:
        accepts: the tensors of one of these alternatives are taken, all of them and no others.
        entries: the model's own inputs, some of which have a range.
        max_rows: rows that may come at once; None for any number.
    """

    def __init__(
        self, accepts: Sequence[Sequence[TensorSpec]], entries: Iterable[TensorEntry], max_rows: int | None = None
    ) -> None:
        self._accepts = {frozenset(s.name for s in specs): {s.name: s for s in specs} for specs in accepts}
        self._ranges = {entry.name: entry for entry in entries if entry.range is not None}
        self._max_rows = max_rows

    def alternative(self, names: Sequence[str]) -> dict[str, TensorSpec]:
        """What was sent, as the model knows it. Raises InvalidInput where it is no complete alternative."""
        specs = self._accepts.get(frozenset(names))
        if specs is None or len(names) != len(specs):
            known = " or ".join(" and ".join(map(repr, each)) for each in self._accepts.values())
            raise InvalidInput(f"the input must be exactly {known}, not {', '.join(map(repr, names))[:200]}")
        return specs

    def check(self, tensors: Sequence[Tensor], specs: dict[str, TensorSpec]) -> None:
        """Check tensors against their alternative.

        Raises:
            InvalidInput: a type, a shape or a number is not what the model takes, or the rows differ in number.
            TooLarge: there are too many rows.
        """
        first = tensors[0]
        for tensor in tensors:
            specs[tensor.name].check(tensor)
            self._check_rows_and_values(tensor)
            if tensor.rows != first.rows:
                raise InvalidInput(
                    f"tensor {tensor.name!r} has {tensor.rows} rows, but {first.name!r} has {first.rows}; "
                    "every tensor must have as many"
                )
            if tensor.name in self._ranges:
                check_range(self._ranges[tensor.name], tensor.array)

    def _check_rows_and_values(self, tensor: Tensor) -> None:
        if tensor.rows < 1:
            raise InvalidInput(f"tensor {tensor.name!r} has no rows")
        if self._max_rows is not None and tensor.rows > self._max_rows:
            raise TooLarge(
                f"tensor {tensor.name!r} has {tensor.rows} rows; at most {self._max_rows} are allowed at once"
            )
        if tensor.datatype.startswith("FP") and not np.isfinite(tensor.array).all():
            raise InvalidInput(f"tensor {tensor.name!r} holds NaN or infinity; every number must be finite")
