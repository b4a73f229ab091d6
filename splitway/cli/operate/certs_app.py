"""`splitway certs`: its commands, their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import ERR, Json, emit

app = typer.Typer(
    name="certs",
    help="Certificates of gateway and stages for mutual TLS, from a private authority.",
    epilog="Start with: splitway up --mtls, which makes them; or splitway certs create, then SPLITWAY_IDENTITY=FOLDER.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path,
    typer.Option("--out", help="Folder of the authority, with one folder per service.", envvar="SPLITWAY_CERTS"),
]
_FOLDER = Path(".splitway/certs")


@app.command()
def create(
    context: typer.Context,
    service: Annotated[
        list[str] | None,
        typer.Option(
            help="Service to certify; may be repeated. Default: gateway, feature_extractor, classifier and "
            "every existing one."
        ),
    ] = None,
    days: Annotated[float, typer.Option(help="Days of validity; 0.5 is half a day.")] = 7.0,
    new_ca: Annotated[
        bool, typer.Option("--new-ca", help="Create a new authority; the previous one stays trusted.")
    ] = False,
    forget_old_ca: Annotated[
        bool, typer.Option("--forget-old-ca", help="Stop trusting the previous authority, and exit.")
    ] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Stay, and renew each certificate when a third of its lifetime is left.")
    ] = False,
    out: Folder = _FOLDER,
    as_json: Json = False,
) -> None:
    """Make or renew the certificates of the services.

    Each service gets a folder: identity.pem is its own key and certificate, trust.pem the authorities it trusts. Give a
    service only its own folder, and name it in SPLITWAY_IDENTITY. Running services load new files within two seconds,
    without a failed request. The authority's key, in ca/, can certify any service: no service needs it.

    Examples: splitway certs create; splitway certs create --service body_1 --days 2; splitway certs create --new-ca
    """
    from splitway.cli.operate import certs as command
    from splitway.security.identities.certificates import Certificates

    if forget_old_ca:
        Given.of(context).refuse("service", "days", "new_ca", "stay", because="--forget-old-ca creates no certificate")
        Certificates(out).forget_previous()
        ERR.print("the previous authority is no longer trusted", markup=False)
        emit(as_json, {"folder": out, "forgotten": True})
        return
    emit(as_json, command.create(out, service or [], days, new_authority=new_ca))
    if stay:
        command.stay(out, service or [], days)


@app.command()
def show(
    out: Folder = _FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
) -> None:
    """Print the services with certificates, and their expiry.

    Examples: splitway certs show; splitway certs show --json | jq -r 'select(.state != "good").service'
    """
    from splitway.cli.operate.certs import show as command

    command(out, as_json=as_json)
