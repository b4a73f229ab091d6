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
    float32.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self._labels = bundle.labels

    def finish(self, outputs: Arrays, request: InferRequest) -> list[Tensor]:
        k = next((output.top_k for output in request.outputs if output.name == PROBABILITIES), 0)
        tensors = super().finish(outputs, request)
        if not k:
            return tensors
        return [best_classes(t.array, k, self._labels) if t.name == PROBABILITIES else t for t in tensors]
