"""`splitway classify`: its options and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import ERR, RunName, Url
from splitway.cli.setup import complete


def classify(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Pictures, folders of pictures, or - for one picture on stdin.")],
    url: Url = None,
    name: RunName = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            help="Classes per picture. Default: 3, and of a multi-label head every label that reaches its threshold.",
            min=1,
            max=100,
            show_default=False,
        ),
    ] = None,
    heads: Annotated[
        str | None, typer.Option(help="Heads to use, separated by commas, or * for all. Default: the default head.")
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(help="Release that answers. Default: as the gateway chooses.", autocompletion=complete.releases),
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Run the bundles here, without a server.")] = False,
    models: Annotated[
        Path, typer.Option(help="With --in-process: folder of the bundles.", envvar="SPLITWAY_MODELS")
    ] = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of a table.")] = False,
) -> None:
    """Send pictures to a running gateway and print their labels. Exits with 1 if any could not be classified.

    With --in-process the same bundles give the same predictions, bit for bit, in this process.

    If the gateway requires a key, set SPLITWAY_API_KEY, or SPLITWAY_API_KEY_FILE to a file with the key. There is no
    option for it, because every user of a machine can read command lines.

    In a folder all pictures are taken, also those in folders inside it, as their bytes tell; hidden files are left out.
    Where folders have the names of labels, stderr says how many pictures are classified as their folder says.

    Examples: splitway classify samples/*.jpg; splitway classify holiday/ --json > labels.jsonl; splitway classify - <
    cat.jpg; splitway classify cat.jpg --heads classifier,digits --in-process
    """
    from splitway.cli.ask.unread import all_missing, print_failure, print_line

    given = Given.of(context)
    if in_process:
        given.refuse("url", "name", "release", because="--in-process uses no gateway")
    else:
        given.refuse("models", because="without --in-process the gateway's bundles are used")
    if missing := all_missing(files):
        for file, why in missing.items():
            print_line(file, {"error": why}) if as_json else print_failure(file, why)
        raise typer.Exit(1)
    from splitway.cli.ask.by_folder import as_folders_say
    from splitway.cli.ask.classify import classify_files, parse_heads, print_json, print_table
    from splitway.cli.ask.given_pictures import named_pictures

    named, pictures = parse_heads(heads), named_pictures(files)
    if in_process:
        from splitway.cli.ask.classify_in_process import classify_in_process

        results = classify_in_process(pictures, models, named, top_k)
    else:
        from splitway.cli.credentials import chosen_gateway

        results = classify_files(pictures, chosen_gateway(given, url, name), top_k, named, release)
    (print_json if as_json else print_table)(results)
    for line in as_folders_say(results, files):
        ERR.print(line, markup=False)
    if any(result.failed for result in results):
        raise typer.Exit(1)
