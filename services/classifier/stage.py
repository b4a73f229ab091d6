"""Features of the right space to probabilities, or to the best labels."""

from __future__ import annotations

from splitway.bundle import FEATURES, PROBABILITIES, Bundle
from splitway.errors import FeatureSpaceMismatch
from splitway.runtime.classes import best_classes
from splitway.runtime.engine import Arrays
from splitway.runtime.stage import GoOn, Tensors
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import FEATURE_SPACE, InferRequest


class Classifier:
    """Takes `features` of its own feature space, gives `probabilities`.

    With `classification: k` on the output (Triton's classification extension) it gives, instead of the tensor, BYTES
    [n, k] of `probability:index:label`, best first; the probability is written so that reading it back gives the same
    float32.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._feature_space = bundle.manifest.feature_space
        self._labels = bundle.labels
        self.accepts = tuple(entry.spec for entry in bundle.manifest.inputs)
        self.gives = tuple(entry.spec for entry in bundle.manifest.outputs)

    def warm_up(self) -> None:
        """Nothing here is slow the first time."""

    def check(self, request: InferRequest) -> None:
        """Raise FeatureSpaceMismatch unless the features name this head's space, on the tensor or on the request."""
        on_tensor = request.inputs[0].parameters.get(FEATURE_SPACE)
        on_request = request.parameters.get(FEATURE_SPACE)
        named = {space for space in (on_tensor, on_request) if space is not None}
        if not named:
            raise FeatureSpaceMismatch(
                f"the features do not say which feature space they are from: set parameters.{FEATURE_SPACE}; "
                f"this head was trained on {self._feature_space}"
            )
        if named != {self._feature_space}:
            foreign = ", ".join(sorted(str(space)[:40] for space in named))
            raise FeatureSpaceMismatch(
                f"the features are from {foreign}; this head was trained on {self._feature_space}"
            )

    def needs_decoding(self, tensors: Tensors) -> bool:
        return False

    def decode(self, tensors: Tensors, go_on: GoOn) -> Arrays:
        return {FEATURES: tensors[FEATURES].array}

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        probabilities = outputs[PROBABILITIES]
        k = request.outputs[0].top_k if request.outputs else 0
        if k == 0:
            return [Tensor.of_array(PROBABILITIES, probabilities)]
        k = min(k, probabilities.shape[1])
        elements = [str(each).encode() for row in probabilities for each in best_classes(row, k, self._labels)]
        return [Tensor.of_bytes(PROBABILITIES, elements, (len(probabilities), k))]
