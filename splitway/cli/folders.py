"""Which folder of bundles a command is about, where none is named."""

from __future__ import annotations

from pathlib import Path

import typer

from splitway.cli.console import ERR
from splitway.local.runs import running_gateway


def folder_meant(context: typer.Context, models: Path, name: str | None = None, option: str = "--name") -> Path:
    """Return `models` if it is named; else the folder that the running pipeline serves, where it says so itself.

    Args:
        name: of the pipeline, where several run.
        option: which chooses among several.

    Raises SetupError if several run and none is named.
    """
    source = context.get_parameter_source("models")
    return models if source is None or source.name != "DEFAULT" else served_folder(models, name, option)


def served_folder(models: Path, name: str | None, option: str) -> Path:
    """Return the folder that the running pipeline serves, and say so; `models` if none that can be trusted runs."""
    gateway = running_gateway(name=name, option=option)
    served = None if gateway is None else gateway.models
    if served is None or served == models.resolve():
        return models
    ERR.print(f"using {served}, which the running pipeline serves; --models names another", markup=False)
    return served
