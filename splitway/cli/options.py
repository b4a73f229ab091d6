"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(
        help="Address of the gateway. Default: that of the pipeline started in this folder, or http://127.0.0.1:8080.",
        envvar="SPLITWAY_URL",
    ),
]
"""The gateway that a command asks."""
Models = Annotated[Path, typer.Option(help="Folder of the bundles.", envvar="SPLITWAY_MODELS")]
Out = Annotated[Path, typer.Option(help="Folder to write the bundles into.", envvar="SPLITWAY_MODELS")]
