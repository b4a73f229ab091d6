"""Stages without a server, for proofs and comparisons: one fed with the bytes that travel, or both as one function."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from splitway.bundle import FEATURES, PROBABILITIES, Bundle
from splitway.errors import BundleError
from splitway.preprocessing import PictureDecoder, PictureLimits, to_model_input
from splitway.runtime.cores import available_cores
from splitway.runtime.engine import load_engine, warm_up
from splitway.runtime.settings import StageSettings
from splitway.wire.tensor import Buffer, Tensor
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


class InProcessChain:
    """Both bundles as one function, an encoded picture in, probabilities out: no server and no bytes between them.

    Args:
        extractor, head: what would be served, of one feature space.
        settings: what the served stages would read: engine, threads, limits of a picture.

    Raises:
        BundleError: the two do not belong together, or cannot be loaded.
    """

    def __init__(self, extractor: Bundle, head: Bundle, settings: StageSettings) -> None:
        preprocessing = extractor.manifest.preprocessing
        spaces = [bundle.manifest.feature_space for bundle in (extractor, head)]
        if spaces[0] != spaces[1]:
            raise BundleError(f"{extractor.folder} gives features of {spaces[0]}, {head.folder} takes {spaces[1]}")
        if preprocessing is None:
            raise BundleError(f"{extractor.folder}: an extractor's manifest must say how pictures are preprocessed")
        self.extractor, self.head = extractor.manifest, head.manifest
        self._preprocessing = preprocessing
        self._decode = PictureDecoder(
            preprocessing, PictureLimits(settings.max_picture_bytes, settings.max_picture_pixels)
        )
        self._backbone = load_engine(settings.engine, extractor, settings.threads or available_cores())
        self._top = load_engine(settings.engine, head, settings.threads or 1)
        warm_up(self._backbone, extractor)
        warm_up(self._top, head)

    def __call__(self, picture: Buffer) -> NDArray[Any]:
        """Return the probabilities of one picture. Raises InvalidInput, TooLarge or EngineFailed."""
        pixels = to_model_input(self._decode(picture)[None], self._preprocessing)
        features = self._backbone.infer({self.extractor.inputs[0].name: pixels})[FEATURES]
        probabilities: NDArray[Any] = self._top.infer({FEATURES: features})[PROBABILITIES][0]
        return probabilities
