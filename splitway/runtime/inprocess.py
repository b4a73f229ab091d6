"""A stage without a server: the engine that serves, fed with the bytes that travel. For proofs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from splitway.bundle import Bundle
from splitway.errors import EngineFailed
from splitway.runtime.engines.load import load_engine
from splitway.wire.messages import FEATURE_SPACE, InferRequest, InferResponse
from splitway.wire.tensor import Arrays, Tensor
from splitway.wire.v2_json import build_request, build_response, parse_request, parse_response


class InProcessStage:
    """Runs a bundle on arrays, each call through a binary request and a binary response.

    Args:
        bundle: what to run.
        engine: what runs it; the one that its manifest names if not given.
        threads: of the engine.
    """

    def __init__(self, bundle: Bundle, engine: str | None = None, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self._engine = load_engine(engine or bundle.manifest.engine, bundle, threads)

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the model's outputs for n rows of its inputs.

        Raises:
            EngineFailed: the model cannot be run, or gives more or fewer rows than it takes.
        """
        space = {FEATURE_SPACE: self.manifest.feature_space}
        tensors = tuple(Tensor.of_array(entry.name, inputs[entry.name], space) for entry in self.manifest.inputs)
        body, length = build_request(InferRequest(tensors, parameters={"binary_data_output": True}))
        response = parse_response(*self._serve(body, length))
        rows = len(inputs[self.manifest.inputs[0].name])
        outputs = {entry.name: response.output(entry.name).array for entry in self.manifest.outputs}
        for entry in self.manifest.outputs:
            if outputs[entry.name].shape != (rows, *entry.shape[1:]):
                raise EngineFailed(
                    f"{self.manifest.name} gives {entry.name!r} of shape {outputs[entry.name].shape} for {rows} rows; "
                    f"its manifest says {entry.shape}: a stage must give one row for each that it takes"
                )
        return outputs

    def _serve(self, body: bytes, length: str) -> tuple[bytes, str | None]:
        request = parse_request(body, length)
        for tensor, entry in zip(request.inputs, self.manifest.inputs, strict=True):
            entry.spec.check(tensor)
        outputs = self._engine.infer({tensor.name: tensor.array for tensor in request.inputs})
        tensors = tuple(Tensor.of_array(name, array) for name, array in outputs.items())
        return build_response(InferResponse(self.manifest.name, self.manifest.version, tensors), request)


def in_turn(stages: Sequence[InProcessStage], inputs: Arrays) -> Arrays:
    """Run stages one after the other, each on what the one before it gave."""
    for stage in stages:
        inputs = stage(inputs)
    return inputs
