"""Words that Tab completes beside commands, options and files: cheap ones, for which nothing heavy is imported."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import typer

from splitway.names import BODY_NAME, EXTRACTOR, HEADS

_FILE = "releases.json"


def replicas(context: typer.Context, incomplete: str) -> list[str]:
    """STAGE=2 for the stages of the bundles that are in the folder."""
    bodies = sorted(name for name in _listed(_models(context)) if re.fullmatch(BODY_NAME, name))
    return [f"{stage}=2" for stage in (EXTRACTOR, *bodies, HEADS) if stage.startswith(incomplete)]


def releases(context: typer.Context, incomplete: str) -> list[str]:
    """The names in the file of releases; none where it cannot be read."""
    named = context.params.get("file") or os.environ.get("SPLITWAY_RELEASES") or _models(context) / _FILE
    try:
        names = json.loads(Path(named).read_bytes())["releases"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    return [name for name in names if str(name).startswith(incomplete)]


def _models(context: typer.Context) -> Path:
    return Path(context.params.get("models") or os.environ.get("SPLITWAY_MODELS") or "models")


def _listed(folder: Path) -> Iterable[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []
