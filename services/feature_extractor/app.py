"""The feature extractor's app."""

from __future__ import annotations

from fastapi import FastAPI

from services.feature_extractor.stage import FeatureExtractor
from splitway.preprocessing import PictureLimits
from splitway.runtime.app import create_stage_app
from splitway.runtime.settings import StageSettings


def create_app(settings: StageSettings | None = None) -> FastAPI:
    """Serve the bundle `feature_extractor`."""
    return create_stage_app(
        "feature_extractor",
        "extractor",
        lambda bundle, s: FeatureExtractor(bundle, PictureLimits(s.max_picture_bytes, s.max_picture_pixels)),
        settings,
    )
