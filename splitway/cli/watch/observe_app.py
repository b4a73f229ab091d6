"""`splitway top` and `splitway doctor`: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from splitway.cli.console import one_line_errors
from splitway.cli.given import Given

Url = Annotated[
    str | None,
    typer.Option(
        help="Address of the gateway. Default: that of the pipeline started in this folder, or http://127.0.0.1:8080.",
        envvar="SPLITWAY_URL",
    ),
]


def top(
    context: typer.Context,
    url: Url = None,
    interval: Annotated[float, typer.Option(help="Seconds between updates.", min=0.2, max=3600)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one view and exit: 0 if ready, 1 if not.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of the view.")] = False,
) -> None:
    """Watch a running pipeline: what the gateway answers, and how each stage and replica does. q or Ctrl-C ends it.

    The counts are the gateway's own since its start. If the gateway does not answer, top says so and tries
    again. In a pipe it prints a line per update; with --json the gateway's /v1/pipeline with time and address.

    If the gateway requires a key, set SPLITWAY_API_KEY, or SPLITWAY_API_KEY_FILE to a file with the key. There is no
    option for it, because every user of a machine can read command lines.

    Examples: splitway top; splitway top --once; splitway top --interval 10 >> pipeline.log

    More: splitway top --json | jq --unbuffered -c .gateway.requests; splitway top --once >/dev/null || echo not ready
    """
    with one_line_errors():
        from splitway.cli.watch.top import TopOptions
        from splitway.cli.watch.top import top as watch

        if once:
            Given.of(context).refuse("interval", because="--once prints once")
        raise typer.Exit(watch(TopOptions(url, interval, once, as_json)))


def doctor(
    context: typer.Context,
    url: Url = None,
    models: Annotated[Path, typer.Option(help="Folder of the bundles.", envvar="SPLITWAY_MODELS")] = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a list.")] = False,
) -> None:
    """Check a set-up, and say in a sentence each what is right, what is not, and what to do about it.

    Looks at Python and the packages, the bundles (hashes, feature spaces, releases) and whether their engines run them,
    ports, memory, cores, disk, the SPLITWAY_* variables as they are set here, and the pipeline that runs: who answers,
    in which version, by which clock, and whether strangers are asked for a key. Changes nothing. Ends with 1 if
    something is broken, with 0 if there are warnings. If the gateway requires a key, set SPLITWAY_API_KEY.

    Examples: splitway doctor; splitway doctor --models /srv/models; splitway doctor --url http://gateway:8080

    More: splitway doctor --json | jq -r '.results[] | select(.level != "ok") | .do'
    """
    with one_line_errors():
        from splitway.cli.doctor.doctor import doctor as check

        raise typer.Exit(check(url, models, variables_of(context.find_root().command), as_json=as_json))


def variables_of(command: Any) -> list[str]:
    """Every environment variable that a command, or one below it, takes an option from."""
    own = [option.envvar for option in command.params if option.envvar]
    return own + [name for below in getattr(command, "commands", {}).values() for name in variables_of(below)]
