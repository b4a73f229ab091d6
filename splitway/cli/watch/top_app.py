"""`splitway top`: its options and its help."""

from __future__ import annotations

from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import one_line_errors
from splitway.cli.options import Url


def top(
    context: typer.Context,
    url: Url = None,
    interval: Annotated[float, typer.Option(help="Seconds from one look to the next.", min=0.2, max=3600)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one view and exit: 0 if ready, 1 if not.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of the view.")] = False,
) -> None:
    """Watch a running pipeline: what the gateway answers, and how each stage and replica does. q or Ctrl-C ends it.

    The counts are the gateway's own since its start. A gateway that does not answer is asked again. In a pipe each look
    is one line; with --json it is what the gateway says at /v1/pipeline, with the time and the address.

    A gateway that asks for a key is shown SPLITWAY_API_KEY, or what stands in the file SPLITWAY_API_KEY_FILE. There is
    no option for it, because all users of a machine can read its command lines.

    Examples: splitway top; splitway top --once; splitway top --interval 10 >> pipeline.log

    More: splitway top --json | jq --unbuffered -c .gateway.requests; splitway top --once >/dev/null || echo not ready
    """
    with one_line_errors():
        from splitway.cli.watch.top import top as watch

        if once:
            Given.of(context).refuse("interval", because="--once looks once")
        raise typer.Exit(watch(url, interval, once=once, as_json=as_json))
