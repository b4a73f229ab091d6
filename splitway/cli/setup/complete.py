"""Words that Tab completes beside commands, options and files: cheap ones, for which nothing heavy is imported."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import typer

from splitway.errors import SetupError
from splitway.names import BODY_NAME, EXTRACTOR, GATEWAY, HEADS

_FILE = "releases.json"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What is offered: zsh runs what it is given as part of a script, and these names come from files."""


def replicas(context: typer.Context, incomplete: str) -> list[str]:
    """STAGE=2 for the stages of the bundles that are in the folder."""
    bodies = sorted(name for name in _listed(_models(context)) if re.fullmatch(BODY_NAME, name))
    return [f"{stage}=2" for stage in (EXTRACTOR, *bodies, HEADS) if stage.startswith(incomplete)]


def releases(context: typer.Context, incomplete: str) -> list[str]:
    """The names in the file of releases; none where it cannot be read."""
    named = (
        context.params.get("file")
        or os.environ.get("SPLITWAY_RELEASES")
        or _models(context, _served() or "models") / _FILE
    )
    try:
        names = json.loads(Path(named).read_bytes())["releases"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    return [name for name in names if _WORD.fullmatch(str(name)) and name.startswith(incomplete)]


def run_names(incomplete: str) -> list[str]:
    """The names of this folder's pipelines that run, or have left a log."""
    from splitway.local.runs import all_runs, written_logs  # noqa: PLC0415 - for this alone

    running = [name for name, run in all_runs().items() if run.is_running]
    return [name for name in dict.fromkeys((*running, *written_logs())) if name and name.startswith(incomplete)]


def processes(context: typer.Context, incomplete: str) -> list[str]:
    """The stages of a pipeline of this folder, and each of several processes of one; the usual ones if none runs."""
    from splitway.local.runs import all_runs  # noqa: PLC0415 - for this alone

    run = all_runs().get(context.params.get("name"))
    counted = dict.fromkeys((GATEWAY, EXTRACTOR, HEADS), 1) if run is None else Counter(p.stage for p in run.places)
    several = [] if run is None else [name for name, place in run.by_name.items() if counted[place.stage] > 1]
    words = dict.fromkeys((*counted, *several))
    return [word for word in words if _WORD.fullmatch(word) and word.startswith(incomplete)]


def _models(context: typer.Context, usual: Path | str = "models") -> Path:
    """The folder of bundles that the line names so far; else the usual one."""
    source = context.get_parameter_source("models")
    named = None if source is None or source.name == "DEFAULT" else context.params.get("models")
    return Path(named or os.environ.get("SPLITWAY_MODELS") or usual)


def _served() -> Path | None:
    """The folder that the running pipeline serves."""
    from splitway.local.runs import running_gateway  # noqa: PLC0415 - for this alone

    with suppress(SetupError):  # several run
        gateway = running_gateway()
        return None if gateway is None else gateway.models
    return None


def _listed(folder: Path) -> Iterable[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []
