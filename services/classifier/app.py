"""The classifier's app."""

from __future__ import annotations

from fastapi import FastAPI

from splitway.names import HEADS
from splitway.runtime.app import create_stage_app
from splitway.runtime.settings import StageSettings
from splitway.services.classifier.stage import Classifier


def create_app(settings: StageSettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Serve every head among the bundles."""
    return create_stage_app(
        HEADS, "head", lambda bundle, _: Classifier(bundle), settings, every_name=True, exposed=exposed
    )
