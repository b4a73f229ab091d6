"""The feature extractor's app."""

from __future__ import annotations

from fastapi import FastAPI

from splitway.names import EXTRACTOR
from splitway.runtime.app import create_stage_app
from splitway.runtime.settings import StageSettings
from splitway.services.feature_extractor.stage import make_extractor


def create_app(settings: StageSettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Serve the bundle `feature_extractor`."""
    return create_stage_app(EXTRACTOR, "extractor", make_extractor, settings, exposed=exposed)
