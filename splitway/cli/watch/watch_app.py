"""`splitway top`: its options and its help."""

from __future__ import annotations

from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import RunName, Url


def top(
    context: typer.Context,
    url: Url = None,
    name: RunName = None,
    interval: Annotated[float, typer.Option(help="Seconds between updates.", min=0.2, max=3600)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one view and exit: 0 if ready, 1 if not.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of the view.")] = False,
) -> None:
    """Watch a running pipeline: the gateway's answers, and the state of each stage and replica. q or Ctrl-C ends it.

    Counts are since the gateway's start. A gateway that does not answer is asked again. In a pipe it prints one line an
    update; with --json the gateway's /v1/pipeline with time and address. If it requires a key, set SPLITWAY_API_KEY,
    or SPLITWAY_API_KEY_FILE to a file with the key: every user of a machine can read command lines.

    Examples: splitway top; splitway top --once; splitway top --interval 10 >> pipeline.log;
    splitway top --json | jq --unbuffered -c .gateway.requests; splitway top --once >/dev/null || echo not ready
    """
    from splitway.cli.credentials import chosen_gateway
    from splitway.cli.watch.top import top as watch

    given = Given.of(context)
    if once:
        given.refuse("interval", because="--once prints once")
    raise typer.Exit(watch(lambda: chosen_gateway(given, url, name), interval, once=once, as_json=as_json))
