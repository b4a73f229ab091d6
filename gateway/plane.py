"""The whole chain as one Open Inference Protocol model: `pipeline` takes `image` and gives `probabilities`."""

from __future__ import annotations

from typing import Any

from gateway.observe import GatewayMetrics
from gateway.pipeline import Pipeline
from splitway.errors import InvalidInput, NotFound
from splitway.wire.lifecycle import Lifecycle
from splitway.wire.tensor import BYTES, TensorSpec
from splitway.wire.v2_json import FEATURE_SPACE, InferRequest, InferResponse
from splitway.wire.v2_rest import Answer, CallContext

MODEL = "pipeline"
VERSION = "1"
IMAGE = TensorSpec("image", BYTES, (-1,))
OUTPUT = "probabilities"
ROUTE = "/v2/models/pipeline/infer"


class PipelinePlane:
    """Serves the protocol's routes of the gateway."""

    def __init__(self, pipeline: Pipeline, metrics: GatewayMetrics, lifecycle: Lifecycle) -> None:
        self.lifecycle = lifecycle
        self._pipeline = pipeline
        self._metrics = metrics

    def check_model(self, model: str, version: str | None) -> None:
        if model != MODEL:
            raise NotFound(f"there is no model {model[:80]!r} here, only {MODEL!r}")
        if version not in (None, VERSION):
            raise NotFound(f"model {MODEL!r} has no version {version!r} here, only {VERSION!r}")

    def metadata(self) -> dict[str, Any]:
        return {
            "name": MODEL,
            "versions": [VERSION],
            "platform": "splitway",
            "inputs": [IMAGE.metadata()],
            "outputs": [TensorSpec(OUTPUT, "FP32", self._output_shape()).metadata()],
        }

    def _output_shape(self) -> tuple[int, ...]:
        """What the head says it gives; unknown until one has been seen."""
        shapes = [replica.output_shape for replica in self._pipeline.stages[-1].replicas.ready]
        return shapes[0] if shapes else (-1, -1)

    async def infer(self, request: InferRequest, context: CallContext) -> Answer:
        with self._metrics.request(ROUTE):
            return await self._infer(request, context)

    async def _infer(self, request: InferRequest, context: CallContext) -> Answer:
        if len(request.inputs) != 1 or request.inputs[0].name != IMAGE.name:
            raise InvalidInput(f"the input must be exactly one tensor {IMAGE.name!r} of encoded pictures")
        IMAGE.check(request.inputs[0])
        if any(output.name != OUTPUT for output in request.outputs):
            raise InvalidInput(f"the only output is {OUTPUT!r}")
        for output in request.outputs:
            output.check_top_k()
        answer = await self._pipeline.run(request.inputs[0], request.outputs, request.id, context)
        self._metrics.hops(answer.timings)
        parameters = {FEATURE_SPACE: answer.feature_space}
        response = InferResponse(MODEL, VERSION, answer.outputs, request.id, parameters)
        return Answer(response, answer.headers)
