"""The classifier's app: features of the right space to probabilities, or to the best labels."""

from __future__ import annotations

from fastapi import FastAPI

from splitway.answers.classes.best import best_classes
from splitway.bundle import Bundle
from splitway.names import HEADS, PROBABILITIES
from splitway.runtime.app import create_stage_app
from splitway.runtime.catalog.catalog import Scope
from splitway.runtime.settings import StageSettings
from splitway.runtime.stage import Stage
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Arrays, Tensor


def create_app(settings: StageSettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Serve every head among the bundles."""
    scope = Scope(HEADS, "head", every_name=True)
    return create_stage_app(scope, lambda bundle, _: Classifier(bundle), settings, exposed=exposed)


class Classifier(Stage):
    """Takes features of its own feature space, gives the outputs of its head; a classifier's are `probabilities`.

    With `classification: k` on that output (Triton's classification extension) it gives, instead of the tensor, BYTES
    [n, k] of `probability:index:label`, best first; the probability is written so that reading it back gives the same
    float32. With `all_labels` beside it, k of a multi-label head is what its threshold makes of it.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._labels = bundle.labels
        self._threshold = bundle.manifest.threshold

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        asked = next((output for output in request.outputs if output.name == PROBABILITIES), None)
        k = 0 if asked is None else asked.top_k
        tensors = super().finish(outputs, request)
        if asked is None or not k:
            return tensors
        least = self._threshold if self._threshold is not None and asked.all_labels else None
        return [best_classes(t.array, k, self._labels, least) if t.name == PROBABILITIES else t for t in tensors]
