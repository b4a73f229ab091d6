"""`splitway certs`: its commands, their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import ERR, one_line_errors

app = typer.Typer(
    name="certs",
    help="Certificates by which gateway and stages know each other (mutual TLS), of a private authority.",
    epilog="Start with: splitway up --mtls, which makes them; or splitway certs create, then SPLITWAY_IDENTITY=FOLDER.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path,
    typer.Option("--out", help="Folder of the authority and of a folder for each service.", envvar="SPLITWAY_CERTS"),
]
_FOLDER = Path(".splitway/certs")


@app.command()
def create(
    context: typer.Context,
    service: Annotated[
        list[str] | None,
        typer.Option(
            help="Service to certify; may be repeated. If none is named: gateway, feature_extractor, classifier and "
            "every one that is there already."
        ),
    ] = None,
    days: Annotated[float, typer.Option(help="How long the certificates are good for; 0.5 is half a day.")] = 7.0,
    new_ca: Annotated[
        bool, typer.Option("--new-ca", help="Make a new authority; the one before it stays trusted.")
    ] = False,
    forget_old_ca: Annotated[
        bool, typer.Option("--forget-old-ca", help="Trust the authority before the present one no more, and end.")
    ] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Stay, and renew each certificate when a third of its life is left.")
    ] = False,
    out: Folder = _FOLDER,
) -> None:
    """Make certificates for the services; called again, renew them.

    Each service gets a folder: identity.pem, its own key and certificate, and trust.pem, whom it trusts. Give a service
    that folder and no other, and name it in SPLITWAY_IDENTITY. Services that run take new files within two seconds,
    and not a request is dropped. The authority's key, in ca/, can make anybody any service: no service needs it.

    Examples: splitway certs create; splitway certs create --service body_1 --days 2; splitway certs create --new-ca
    """
    with one_line_errors():
        from splitway.cli.operate import certs as command

        if forget_old_ca:
            because = "--forget-old-ca makes no certificate, and ends"
            Given.of(context).refuse("service", "days", "new_ca", "stay", because=because)
            command.forget_old_authority(out)
            ERR.print("the authority before the present one is trusted no more", markup=False)
            return
        command.print_made(out, command.create(out, service or [], days, new_authority=new_ca))
        if stay:
            command.stay(out, service or [], days)


@app.command()
def show(
    out: Folder = _FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
) -> None:
    """Print the services that have certificates, and how long those are good for.

    Examples: splitway certs show; splitway certs show --json | jq -r 'select(.state != "good").service'
    """
    with one_line_errors():
        from splitway.cli.operate import certs as command

        (command.print_json if as_json else command.print_table)(out)
