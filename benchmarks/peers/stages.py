"""What every peer serves: the two bundles, the product's decoder and engine, and nothing of its serving code."""

from __future__ import annotations

import os
import queue
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitway.bundle import load_bundle
from splitway.kinds.image.decode import PictureDecoder, to_model_input
from splitway.kinds.image.limits import PictureLimits
from splitway.runtime.engines.load import Engine, load_engine

Prediction = dict[str, Any]


def models() -> Path:
    """The folder of bundles, said by `MODELS`."""
    return Path(os.environ["MODELS"])


class Extractor:
    """From a picture to its features; called from up to `engines` threads at once."""

    def __init__(self, engines: int, threads: int) -> None:
        bundle = load_bundle(models() / "feature_extractor" / "1", role="extractor")
        assert bundle.manifest.preprocessing is not None
        self._preprocessing = bundle.manifest.preprocessing
        self._decode = PictureDecoder(self._preprocessing, PictureLimits())
        self._idle: queue.SimpleQueue[Engine] = queue.SimpleQueue()
        for _ in range(engines):
            self._idle.put(load_engine("litert", bundle, threads))

    def __call__(self, picture: bytes) -> NDArray[np.float32]:
        pixels = to_model_input(self._decode(picture)[None], self._preprocessing)
        engine = self._idle.get()
        try:
            features: NDArray[np.float32] = engine.infer({"pixels": pixels})["features"]
            return features
        finally:
            self._idle.put(engine)


class Head:
    """From one picture's features to its five best labels; called from one thread at a time."""

    def __init__(self) -> None:
        bundle = load_bundle(models() / "classifier" / "1", role="head")
        self._engine = load_engine("litert", bundle, 1)
        self._labels = bundle.labels

    def __call__(self, features: NDArray[np.float32]) -> list[Prediction]:
        (probabilities,) = self._engine.infer({"features": features})["probabilities"]
        best = np.argsort(-probabilities)[:5]
        labels = self._labels or [""] * len(probabilities)
        return [{"label": labels[i], "confidence": float(probabilities[i])} for i in best]
