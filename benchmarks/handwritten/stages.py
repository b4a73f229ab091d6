"""The hand-written extractor and classifier; which one is said by `STAGE`, the bundles by `MODELS`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import Body, FastAPI
from pydantic import BaseModel

from splitway.bundle import load_bundle
from splitway.kinds.image.decode import PictureDecoder, to_model_input
from splitway.kinds.image.limits import PictureLimits
from splitway.runtime.engines.load import load_engine

MODELS = Path(os.environ["MODELS"])
lock = threading.Lock()
app = FastAPI()


class Features(BaseModel):
    """The wire between the stages."""

    features: list[float]


def _extractor() -> None:
    bundle = load_bundle(MODELS / "feature_extractor" / "1", role="extractor")
    engine = load_engine("litert", bundle, os.cpu_count() or 1)
    preprocessing = bundle.manifest.preprocessing
    assert preprocessing is not None
    decode = PictureDecoder(preprocessing, PictureLimits())

    @app.post("/extract")
    def extract(picture: bytes = Body(media_type="application/octet-stream")) -> dict[str, Any]:
        pixels = to_model_input(decode(picture)[None], preprocessing)
        with lock:
            features = engine.infer({"pixels": pixels})["features"]
        return {"features": features[0].tolist()}


def _classifier() -> None:
    bundle = load_bundle(MODELS / "classifier" / "1", role="head")
    engine = load_engine("litert", bundle, 1)

    @app.post("/classify")
    def classify(body: Features) -> dict[str, Any]:
        with lock:
            features = np.array([body.features], np.float32)
            (probabilities,) = engine.infer({"features": features})["probabilities"]
        best = np.argsort(-probabilities)[:5]
        labels = bundle.labels or [""] * len(probabilities)
        return {"predictions": [{"label": labels[i], "confidence": float(probabilities[i])} for i in best]}


_extractor() if os.environ["STAGE"] == "feature_extractor" else _classifier()
