"""The commands that run services: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splitway.api.before import check_bundles, check_files
from splitway.api.given import Given
from splitway.cli.commands import FROM_FILES
from splitway.cli.console import Json, Models, RunName
from splitway.cli.setup import complete
from splitway.cli.setup.settings_file import say_what_opens
from splitway.errors import SetupError
from splitway.names import GATEWAY
from splitway.process.extras import require

if TYPE_CHECKING:
    from splitway.security.identities.caller_tls import CallerTls


TlsCert = Annotated[
    Path | None,
    typer.Option(
        help="HTTPS for callers: PEM file of the gateway's certificate and its chain, read again when it changes.",
        envvar="SPLITWAY_TLS_CERT",
    ),
]
TlsKey = Annotated[Path | None, typer.Option(help="PEM file of that certificate's key.", envvar="SPLITWAY_TLS_KEY")]


def up(
    context: typer.Context,
    models: Models = Path("models"),
    host: Annotated[
        str, typer.Option(help="Address of the gateway; beyond 127.0.0.1 it needs SPLITWAY_KEYS_FILE.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.", min=0, max=65535)] = 8080,
    replicas: Annotated[
        list[str] | None,
        typer.Option(
            help="STAGE=N processes of a stage; may be repeated.", metavar="STAGE=N", autocompletion=complete.replicas
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of this pipeline, for a second one from the same folder.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when everything is ready; splitway down stops it.")
    ] = False,
    no_restart: Annotated[
        bool, typer.Option("--no-restart", help="Do not start a process again that has ended.")
    ] = False,
    mtls: Annotated[bool, typer.Option("--mtls", help="Mutual TLS between gateway and stages.")] = False,
    certs: Annotated[
        Path | None,
        typer.Option(help="With --mtls: folder of the certificates, made and renewed as needed; .splitway/certs."),
    ] = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    as_json: Json = False,
    report_fd: Annotated[int | None, typer.Option(help="Where a detached process tells.", hidden=True)] = None,
) -> None:
    """Start the whole pipeline as local processes and keep it up until Ctrl-C, or splitway down.

    A process that ends is started again: after 0.5 s, then after twice as long each time, up to 30 s.

    Examples: splitway up --replicas feature_extractor=2; splitway up -d --name trial --port 0; splitway up --mtls
    """
    if not mtls:
        Given.of(context).refuse("certs", because="certificates are used with --mtls only")
    require("serve", "gateway")
    say_what_opens(context.meta.get(FROM_FILES, {}))
    check_bundles(models)
    from splitway.cli.operate.up import up as command
    from splitway.local.launch import LaunchPlan, parse_replicas

    plan = LaunchPlan(
        models,
        host,
        port,
        parse_replicas(replicas or []),
        certs=(certs or Path(".splitway/certs")) if mtls else None,
        tls=caller_tls(tls_cert, tls_key),
        restart=not no_restart,
    )
    if not detach:
        Given.of(context).refuse("as_json", because="without --detach the processes' own lines are printed")
    command(plan, name, detach=detach, report_fd=report_fd, as_json=as_json)


def caller_tls(certificate: Path | None, key: Path | None) -> CallerTls | None:
    """Return the two files that HTTPS needs; None for plain HTTP. Raises SetupError for one without the other."""
    from splitway.security.identities.caller_tls import CallerTls

    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "--tls-key" if key is None else "--tls-cert"
        raise SetupError(f"HTTPS for callers needs a certificate and its key: {missing} is missing")
    return CallerTls(certificate, key)


def ps(
    as_json: Json = False,
) -> None:
    """List the pipelines that splitway up started from this folder, and their processes.

    Examples: splitway ps; splitway ps --json | jq -r '.pipelines[].url'
    """
    from splitway.cli.launched.pipelines import ps as command

    command(as_json=as_json)


def logs(
    stage: Annotated[
        str | None,
        typer.Argument(
            help="Only lines of this stage or process, such as classifier, classifier.2 or up, which starts them.",
            autocompletion=complete.processes,
        ),
    ] = None,
    name: RunName = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the pipeline ends, or Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.", min=0)] = 100,
) -> None:
    """Print the last lines of a pipeline that splitway up -d started from this folder.

    Each service has a line for a request; splitway logs up shows when the pipeline was started and became ready.

    Examples: splitway logs; splitway logs -f classifier; splitway logs --name trial -n 1000 gateway
    """
    from splitway.cli.launched.logs import logs as command

    command(name, stage, lines, follow=follow)


def down(
    name: RunName = None,
    as_json: Json = False,
) -> None:
    """Stop a pipeline that splitway up started from this folder: accepted requests are answered first.

    Examples: splitway down; splitway down --name trial
    """
    from splitway.cli.launched.pipelines import down as command

    command(name, as_json=as_json)


def serve(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="gateway, feature_extractor or classifier.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
    fd: Annotated[int | None, typer.Option(help="An inherited, bound socket instead.", hidden=True)] = None,
    parent: Annotated[
        int | None, typer.Option(help="The process that gave it, with which to end.", hidden=True)
    ] = None,
    drain_s: Annotated[
        float,
        typer.Option(help="Seconds from withdrawing readiness to closing, when stopped.", envvar="SPLITWAY_DRAIN_S"),
    ] = 0.0,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Serve one app in this process. Settings come from SPLITWAY_* variables and splitway.toml: see splitway config.

    Examples: splitway serve classifier --port 8091; splitway serve gateway --host 0.0.0.0 --drain-s 5
    """
    require("gateway" if stage == GATEWAY else "serve")
    say_what_opens(context.meta.get(FROM_FILES, {}))
    from splitway.cli.operate.serve import serve as command

    if fd is not None:
        Given.of(context).refuse("host", "port", because="--fd is bound already")
    tls = caller_tls(tls_cert, tls_key)
    raise typer.Exit(command(stage, host, port, fd=fd, parent=parent, drain_s=drain_s, tls=tls))


def demo(
    files: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    models: Models = Path("models"),
) -> None:
    """Start the pipeline on free ports, classify pictures, print the labels, stop everything.

    Example: splitway demo samples/*.jpg
    """
    require("serve", "gateway")
    check_files(files)
    check_bundles(models)
    from splitway.cli.operate.up import demo as command

    command(models, files)
