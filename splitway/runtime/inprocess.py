"""A stage without a server: the engine that serves, fed with the bytes that travel. For proofs."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.runtime.engine import load_engine
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import (
    FEATURE_SPACE,
    InferRequest,
    InferResponse,
    build_request,
    build_response,
    parse_request,
    parse_response,
)


class InProcessStage:
    """Runs a bundle on arrays, each call through a binary request and a binary response."""

    def __init__(self, bundle: Bundle, engine: str, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self._engine = load_engine(engine, bundle, threads)

    def __call__(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the model's output for n rows of input."""
        entry = self.manifest.inputs[0]
        tensor = Tensor.of_array(entry.name, array, {FEATURE_SPACE: self.manifest.feature_space})
        body, length = build_request(InferRequest((tensor,), parameters={"binary_data_output": True}))
        reply, reply_length = self._serve(body, length)
        return parse_response(reply, reply_length).output(self.manifest.outputs[0].name).array

    def _serve(self, body: bytes, length: str) -> tuple[bytes, str | None]:
        request = parse_request(body, length)
        for tensor, entry in zip(request.inputs, self.manifest.inputs, strict=True):
            entry.spec.check(tensor)
        outputs = self._engine.infer({tensor.name: tensor.array for tensor in request.inputs})
        tensors = tuple(Tensor.of_array(name, array) for name, array in outputs.items())
        return build_response(InferResponse(self.manifest.name, self.manifest.version, tensors), request)
