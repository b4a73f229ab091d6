"""`splitway keys`: its commands, their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.cli.console import ERR, OUT, Json, emit

app = typer.Typer(
    name="keys",
    help="API keys of the gateway: scopes, limits and expiry.",
    epilog="Start with: splitway keys create me --scope infer, then SPLITWAY_KEYS_FILE=keys.json splitway up",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Option(help="File of the keys' hashes, read by the gateway.", envvar="SPLITWAY_KEYS_FILE")]
_FILE = Path("keys.json")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Owner or purpose of the key.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="Scope; may be repeated. infer: classify; metrics: read the pipeline's state; "
            "admin: load and unload models. Default: infer."
        ),
    ] = None,
    expires: Annotated[
        str, typer.Option(metavar="90d|12h|never", help="Lifetime, in days or hours, or never.")
    ] = "90d",
    cost_per_minute: Annotated[
        int | None,
        typer.Option(help="Cost limit: 1 per row and megapixel. Default: the gateway's limit.", min=1),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Parallel requests. Default: the gateway's limit.", min=1)
    ] = None,
    file: File = _FILE,
    as_json: Json = False,
) -> None:
    """Make a key and print it once; only its hash is stored.

    The key is printed to stdout and all else to stderr, so that it can be piped. A running gateway accepts it within a
    second.

    Examples: splitway keys create web-shop; splitway keys create ops --scope metrics --scope admin --expires 30d
    """
    from splitway.cli.operate import keys as command
    from splitway.security.callers.keys import read_keys

    limits = {"cost_per_minute": cost_per_minute, "concurrency": concurrency}
    key, record = command.create(file, name, scope or ["infer"], expires, **limits)
    until = "for ever" if record.expires is None else f"until {record.expires:%Y-%m-%d %H:%M} UTC"
    said = f"key {record.id} for {record.name}: {', '.join(record.scopes)}; good {until}; in {file}. Keep it now:"
    others = [id_ for id_ in command.ids_of(name, read_keys(file).keys) if id_ != record.id]
    if others:
        ERR.print(f"there is more than one key for {name} now: {', '.join(others)} too", style="yellow", markup=False)
    ERR.print(said, markup=False)
    if as_json:
        emit(as_json, {"key": key, **command.known(record), "file": file})
    else:
        OUT.print(key, markup=False)


@app.command("list")
def list_(
    file: File = _FILE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")] = False,
) -> None:
    """Print ids, scopes and expiry of the keys. A key itself cannot be printed again.

    Examples: splitway keys list; splitway keys list --json | jq -r 'select(.expired).id'
    """
    from splitway.cli.operate import keys as command
    from splitway.security.callers.keys import read_keys

    records = read_keys(file).keys
    if as_json:
        command.print_json(records)
    elif records:
        command.print_table(records)
    else:
        ERR.print("there is no key yet; create one with: splitway keys create NAME")


@app.command()
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as list prints it.")],
    file: File = _FILE,
    as_json: Json = False,
) -> None:
    """Remove a key from the file: a running gateway refuses it within a second.

    Example: splitway keys revoke 3f9c01b2aa
    """
    from splitway.cli.operate import keys as command

    record = command.revoke(file, id_)
    ERR.print(f"key {record.id} for {record.name} is revoked", markup=False)
    emit(as_json, {"revoked": command.known(record), "file": file})
