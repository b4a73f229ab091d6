"""A body's app: features of its own feature space in, features of the space that it leads to out."""

from __future__ import annotations

from fastapi import FastAPI

from splitway.runtime.app import create_stage_app
from splitway.runtime.catalog.catalog import Scope
from splitway.runtime.settings import StageSettings
from splitway.runtime.stage import Stage


def create_app(name: str, settings: StageSettings | None = None, *, exposed: bool = False) -> FastAPI:
    """Serve the bundle of this name: `body_1`, `body_2`, ..."""
    return create_stage_app(Scope(name, "body"), lambda bundle, _: Stage(bundle), settings, exposed=exposed)
