"""`splitway bench`: its options and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import Json, RunName
from splitway.process.extras import require


def bench(
    context: typer.Context,
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Pictures to send in turn. Default: samples/*.jpg.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Address of a running gateway. Default: that of the pipeline started in this folder, or a new one.",
            envvar="SPLITWAY_URL",
        ),
    ] = None,
    name: RunName = None,
    models: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the bundles of a new pipeline (models); with --url or --name, those of its gateway.",
            envvar="SPLITWAY_MODELS",
        ),
    ] = None,
    clients: Annotated[int, typer.Option(help="Parallel clients; each waits for its answer.", min=1, max=256)] = 1,
    seconds: Annotated[float, typer.Option(help="Duration in seconds.", min=0.1, max=3600)] = 10.0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show where one client's time goes, and the cost of the split.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a pipeline: requests per second, p50, p99 and failures by code; with --explain, where the time goes.

    Asks the pipeline that runs from this folder, or the one that --url or --name names. If none runs, or --models is
    given alone, it starts one on free ports, says so, and stops it afterwards.

    --explain follows up to 200 requests of one client through every stage and hop, alternating with the same work in
    this process. It reports the cost of the split, and how many heads on the same features, or repeated pictures, pay
    for it.

    Examples: splitway bench --clients 4; splitway bench --explain cat.jpg; splitway bench --explain --json | jq .says

    The client takes a millisecond of the same processors per request: to find limits use wrk, make load or make bench.

    If the gateway requires a key, set SPLITWAY_API_KEY or SPLITWAY_API_KEY_FILE.
    """
    require("serve", *(() if url else ("gateway",)))
    from splitway.cli.bench import explain as follow
    from splitway.cli.bench import load as measure
    from splitway.cli.credentials import chosen_gateway
    from splitway.local.runs import running_gateway

    given = Given.of(context)
    is_named = url is not None or name is not None
    if explain:
        given.refuse("clients", because="--explain follows one client")
    elif is_named:
        given.refuse("models", because=f"{name or url} has its own bundles, and without --explain none are compared")
    asked = chosen_gateway(given, url, name) if is_named else None if "models" in given else running_gateway()
    target = measure.BenchTarget(pictures or sorted(Path("samples").glob("*.jpg")), asked, models)
    if explain:
        (follow.print_json if as_json else follow.print_table)(follow.explain(target, seconds))
    else:
        (measure.print_json if as_json else measure.print_table)(measure.bench(target, clients, seconds))
