"""A body's app."""

from __future__ import annotations

from fastapi import FastAPI

from splitway.runtime.app import create_stage_app
from splitway.runtime.settings import StageSettings
from splitway.services.body.stage import Body


def create_app(name: str, settings: StageSettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Serve the bundle of this name: `body_1`, `body_2`, ..."""
    return create_stage_app(name, "body", lambda bundle, _: Body(bundle), settings, exposed=exposed)
