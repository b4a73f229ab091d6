"""The commands that run services: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.before import check_bundles, check_files
from splitway.api.given import Given
from splitway.cli.console import Models
from splitway.names import GATEWAY
from splitway.process.extras import require


def up(
    context: typer.Context,
    models: Models = Path("models"),
    host: Annotated[
        str, typer.Option(help="Address of the gateway; beyond 127.0.0.1 it needs SPLITWAY_KEYS_FILE.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.", min=0, max=65535)] = 8080,
    replicas: Annotated[list[str] | None, typer.Option(help="STAGE=N processes of a stage; may be repeated.")] = None,
    mtls: Annotated[bool, typer.Option("--mtls", help="Mutual TLS between gateway and stages.")] = False,
    certs: Annotated[
        Path | None,
        typer.Option(help="With --mtls: folder of the certificates, made and renewed as needed; .splitway/certs."),
    ] = None,
) -> None:
    """Start the whole pipeline as local processes and stay until Ctrl-C.

    Examples: splitway up --replicas feature_extractor=2; splitway up --mtls
    """
    require("serve", "gateway")
    check_bundles(models)
    from splitway.cli.operate.up import up as command
    from splitway.local.launch import LaunchPlan, parse_replicas

    if not mtls:
        Given.of(context).refuse("certs", because="certificates are used with --mtls only")
    certs = certs or Path(".splitway/certs") if mtls else None
    command(LaunchPlan(models, host, port, parse_replicas(replicas or []), certs=certs))


def serve(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="gateway, feature_extractor or classifier.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
    fd: Annotated[int | None, typer.Option(help="An inherited, bound socket instead.", hidden=True)] = None,
    drain_s: Annotated[
        float,
        typer.Option(help="Seconds from withdrawing readiness to closing, when stopped.", envvar="SPLITWAY_DRAIN_S"),
    ] = 0.0,
) -> None:
    """Serve one app in this process. Settings come from SPLITWAY_* variables; see docs/operations.md."""
    require("gateway" if stage == GATEWAY else "serve")
    from splitway.cli.operate.serve import serve as command

    if fd is not None:
        Given.of(context).refuse("host", "port", because="--fd is bound already")
    raise typer.Exit(command(stage, host, port, fd=fd, drain_s=drain_s))


def demo(
    files: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    models: Models = Path("models"),
) -> None:
    """Start the pipeline on free ports, classify pictures, print the labels, stop everything."""
    require("serve", "gateway")
    check_files(files)
    check_bundles(models)
    from splitway.cli.operate.up import demo as command

    command(models, files)
